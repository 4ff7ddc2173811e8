// The load of the loop: texts, an image and words never sent before, a few requests at a time, each answer held against its space.
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { twinImages, WORDS } from '../support/second-model.ts';
import { ask, furthest } from '../support/steady-load.ts';
import type { Counts } from './timeline.ts';

/** Vectors of one space, computed twice; those of the two spaces lie 0.1 and more apart. */
const TOLERANCE = 1e-4;
const PAUSE_MS = { texts: 80, image: 200, fresh: 200 } as const;
type Kind = keyof typeof PAUSE_MS;
/** Most items of the requests that check what is known only at the end. */
const BATCH = 64;
const POLL_MS = 20;
const PATIENCE_MS = 90_000;

interface Answer {
  space_id: string;
  vectors: number[][];
  /** The number in a text that was never sent before. */
  number: number;
  ms: number;
}

export interface Verdict {
  answered: Record<Kind, number>;
  failures: string[];
  /** Answers whose vectors are not those of the space that they name. */
  wrong: number;
  /** By kind, the spaces in the order in which they answered, each change once. */
  spaces: Record<Kind, string[]>;
  slowest_ms: number;
}

export interface Load {
  counts(): Counts;
  /** Resolves when the last answer of each kind named that space. */
  serves(space: string, signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
  /** To be asked when the first model answers again. */
  verdict(): Promise<Verdict>;
}

export interface LoadOptions {
  url: string;
  /** The space of the model that answers now, and that of its twin (test/support/second-model.ts). */
  spaces: { first: string; second: string };
  /** Side of the images. */
  size: number;
}

export async function startLoad({ url, spaces, size }: LoadOptions): Promise<Load> {
  const { dark, bright } = await twinImages(size);
  const [cat, car] = WORDS.map((word) => `a ${word}`);
  const before = await embed(url, [cat, car, { image: dark }, { image: bright }]);
  if (before.space_id !== spaces.first) throw new Error(`${before.space_id} answers, not ${spaces.first}`);
  const [catVector = [], carVector = [], darkVector = [], brightVector = []] = before.vectors;
  // The second model reads either word, and the dark image, as the first reads the other.
  const expected: Record<string, { texts: number[][]; image: number[][] }> = {
    [spaces.first]: { texts: [catVector, carVector], image: [darkVector] },
    [spaces.second]: { texts: [carVector, catVector], image: [brightVector] },
  };
  let number = 0;
  const kinds = {
    texts: ask(() => embed(url, [cat, car]), PAUSE_MS.texts),
    image: ask(() => embed(url, [{ image: dark }]), PAUSE_MS.image),
    fresh: ask(() => {
      number += 1;
      return embed(url, [freshText(WORDS[0], number)], number);
    }, PAUSE_MS.fresh),
  };
  const each = <T>(of: (asking: (typeof kinds)[Kind]) => T): Record<Kind, T> => ({
    texts: of(kinds.texts),
    image: of(kinds.image),
    fresh: of(kinds.fresh),
  });
  const sum = (counts: Record<Kind, number>): number => counts.texts + counts.image + counts.fresh;

  const isWrong = (kind: 'texts' | 'image') => (answer: Answer) =>
    !(furthest(answer.vectors, expected[answer.space_id]?.[kind] ?? []) < TOLERANCE);

  /** What the first model reads in the other word is what the second reads in this one. */
  async function wrongFresh(): Promise<number> {
    let wrong = 0;
    const { answers } = kinds.fresh;
    for (let at = 0; at < answers.length; at += BATCH) {
      const some = answers.slice(at, at + BATCH);
      const known = await embed(
        url,
        some.map((answer) => freshText(answer.space_id === spaces.first ? WORDS[0] : WORDS[1], answer.number)),
      );
      if (known.space_id !== spaces.first) throw new Error('the first model does not answer any more');
      wrong += some.filter(({ vectors }, i) => !(furthest(vectors, [known.vectors[i] ?? []]) < TOLERANCE)).length;
    }
    return wrong;
  }

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
    async verdict() {
      const all = Object.values(kinds).flatMap(({ answers }) => answers);
      return {
        answered: each(({ answers }) => answers.length),
        failures: Object.values(kinds).flatMap(({ failures }) => failures.map(String)),
        wrong:
          kinds.texts.answers.filter(isWrong('texts')).length +
          kinds.image.answers.filter(isWrong('image')).length +
          (await wrongFresh()),
        spaces: each(({ answers }) => changesOf(answers.map(({ space_id }) => space_id))),
        slowest_ms: Math.max(...all.map(({ ms }) => ms)),
      };
    },
  };
}

const freshText = (word: string, number: number): string => `a ${word} number ${number}`;

const changesOf = (spaces: readonly string[]): string[] => spaces.filter((space, i) => space !== spaces[i - 1]);

async function embed(url: string, input: unknown[], number = 0): Promise<Answer> {
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
  return { space_id, vectors: data.map(({ embedding }) => embedding as number[]), number, ms };
}
