// The load of the loop: texts, an image and texts never sent before, a few requests at a time, each answer kept with what was asked.
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ask } from '../support/steady-load.ts';
import { type Answer, type Folders, type Input, judge } from './reference.ts';
import type { Counts } from './timeline.ts';

const PAUSE_MS = { texts: 80, image: 200, fresh: 200 } as const;
type Kind = keyof typeof PAUSE_MS;
const POLL_MS = 20;
const PATIENCE_MS = 90_000;

export interface Sent {
  texts: string[];
  image: { image: string };
  /** How a text begins that was never sent before; it ends with a number. */
  fresh: string;
}

export interface Verdict {
  answered: Record<Kind, number>;
  failures: string[];
  /** Answers whose vectors are not those of the space that they name. */
  wrong: number;
  /** The least distance between what two of the spaces make of one input: under the wrong name it would be seen. */
  apart: number;
  /** By kind, the spaces in the order in which they answered, each change once. */
  spaces: Record<Kind, string[]>;
  slowest_ms: number;
}

export interface Load {
  counts(): Counts;
  /** Resolves when the last answer of each kind named that space. */
  serves(space: string, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** `folders`: the models that answered, by space. */
  verdict(folders: Folders): Promise<Verdict>;
}

export function startLoad(url: string, { texts, image, fresh }: Sent): Load {
  let number = 0;
  const kinds = {
    texts: ask(() => embed(url, texts), PAUSE_MS.texts),
    image: ask(() => embed(url, [image]), PAUSE_MS.image),
    fresh: ask(() => {
      number += 1;
      return embed(url, [`${fresh} number ${number}`]);
    }, PAUSE_MS.fresh),
  };
  const each = <T>(of: (asking: (typeof kinds)[Kind]) => T): Record<Kind, T> => ({
    texts: of(kinds.texts),
    image: of(kinds.image),
    fresh: of(kinds.fresh),
  });
  const sum = (counts: Record<Kind, number>): number => counts.texts + counts.image + counts.fresh;

  return {
    counts: () => ({
      answered: sum(each(({ answers }) => answers.length)),
      failed: sum(each(({ failures }) => failures.length)),
    }),
    async serves(space, signal) {
      const until = performance.now() + PATIENCE_MS;
      while (Object.values(kinds).some(({ answers }) => answers.at(-1)?.space_id !== space)) {
        signal.throwIfAborted();
        if (performance.now() > until) throw new Error(`not every answer is of ${space} after ${PATIENCE_MS / 1000} s`);
        await new Promise((wake) => setTimeout(wake, POLL_MS));
      }
    },
    async stop() {
      await Promise.all(Object.values(kinds).map((asking) => asking.stop()));
    },
    async verdict(folders) {
      const all = Object.values(kinds).flatMap(({ answers }) => answers);
      return {
        answered: each(({ answers }) => answers.length),
        failures: Object.values(kinds).flatMap(({ failures }) => failures.map(String)),
        ...(await judge(all, folders)),
        spaces: each(({ answers }) => changesOf(answers.map(({ space_id }) => space_id))),
        slowest_ms: Math.max(...all.map(({ ms }) => ms)),
      };
    },
  };
}

/** Without what repeats the one before it. */
export const changesOf = (spaces: readonly string[]): string[] => spaces.filter((space, i) => space !== spaces[i - 1]);

async function embed(url: string, input: Input[]): Promise<Answer & { ms: number }> {
  const { hostname } = new URL(url);
  if (hostname !== '127.0.0.1') throw new Error(`load is sent to 127.0.0.1 only, not to ${hostname}`);
  const began = performance.now();
  const response = await fetch(`${url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
  const text = await response.text();
  const ms = performance.now() - began;
  if (response.status !== 200) throw new Error(`${response.status} ${text}`);
  const { space_id, data } = EmbedResponse.parse(JSON.parse(text));
  return { input, space_id, vectors: data.map(({ embedding }) => embedding as number[]), ms };
}
