// CPU of whole requests: with a vector that is stored, one that is not and an answer that the client has, in turns; and of
// short texts on each tier, beside what the platform's plans give a request.
import { EmbedResponse } from '../../../contracts/src/api/embed.ts';
import { cpuMs, median } from '../process.ts';
import { startServer } from './server.ts';

const TURN = 50;
/** WebAssembly is compiled again, better, while it runs. */
const WARM_UP = 120;
const TOKENS = 8;
const LINES = 2000;
/** One piece each in the vocabulary. */
const WORDS = ['dog', 'cat', 'car', 'house', 'tree', 'water', 'man', 'day'];

/** Microseconds of CPU per request, medians. The local server's own part is in all of them. */
export interface RequestFigures {
  /** GET /health/live: little more than that part. */
  empty_us: number;
  hit_us: number;
  not_modified_us: number;
  student_us: number;
  static_us: number;
  /** The line of the log and the counters. */
  logging_us: number;
}

export async function measureRequests(runs: number): Promise<RequestFigures> {
  const { url, pid, stop } = await startServer();
  try {
    const ask = async (body: object, headers: Record<string, string> = {}) => {
      const response = await fetch(`${url}/embed`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ types: ['base64'], ...body }),
      });
      const text = await response.text();
      return {
        status: response.status,
        cache: response.headers.get('x-cache'),
        etag: response.headers.get('etag'),
        text,
      };
    };
    const empty = async () => {
      const response = await fetch(`${url}/health/live`);
      const text = await response.text();
      return { status: response.status, cache: null, etag: null, text };
    };
    let texts = 0;
    const newText = () => {
      const number = texts++;
      return Array.from(
        { length: TOKENS - 2 },
        (_, i) => WORDS[Math.floor(number / WORDS.length ** i) % WORDS.length],
      ).join(' ');
    };
    const known = newText();
    const { etag, text } = await ask({ input: known });
    const { model, usage } = EmbedResponse.parse(JSON.parse(text));
    if (usage.total_tokens !== TOKENS || etag === null) throw new Error(`not what was to be measured: ${text}`);
    const isOf = (cache: string) => (answer: Awaited<ReturnType<typeof ask>>) =>
      answer.status === 200 && answer.cache === cache;
    const kinds = {
      empty_us: { send: empty, isRight: ({ status }: { status: number }) => status === 200 },
      hit_us: { send: () => ask({ input: known }), isRight: isOf('hit') },
      not_modified_us: {
        send: () => ask({ input: known }, { 'if-none-match': etag }),
        isRight: ({ status }: { status: number }) => status === 304,
      },
      student_us: { send: () => ask({ input: newText() }), isRight: isOf('miss') },
      // It reads no special tokens.
      static_us: {
        send: () => ask({ input: `${newText()} dog dog`, model: `${model}-static` }),
        isRight: isOf('miss'),
      },
    };
    const log = async (lines: number) => {
      const started = cpuMs(pid);
      await (await fetch(`${url}/bench/logging?times=${lines}`)).json();
      return cpuMs(pid) - started;
    };
    for (let i = 0; i < (runs > 1 ? WARM_UP : 1); i++) await ask({ input: newText() });
    const taken: Record<keyof RequestFigures, number[]> = {
      empty_us: [],
      hit_us: [],
      not_modified_us: [],
      student_us: [],
      static_us: [],
      logging_us: [],
    };
    for (let run = runs > 1 ? -2 : 0; run < runs; run++) {
      for (const [name, { send, isRight }] of Object.entries(kinds)) {
        const started = cpuMs(pid);
        for (let i = 0; i < TURN; i++) {
          const answer = await send();
          if (!isRight(answer)) throw new Error(`${name}: ${JSON.stringify(answer)}`);
        }
        if (run >= 0) taken[name as keyof typeof kinds].push(((cpuMs(pid) - started) * 1000) / TURN);
      }
      const logged = (await log(LINES)) - (await log(0));
      if (run >= 0) taken.logging_us.push((logged * 1000) / LINES);
    }
    return mapped(taken, median);
  } finally {
    await stop();
  }
}

function mapped<K extends string, T, U>(record: Record<K, T>, change: (value: T) => U): Record<K, U> {
  const entries = Object.entries(record) as [K, T][];
  return Object.fromEntries(entries.map(([key, value]) => [key, change(value)])) as Record<K, U>;
}
