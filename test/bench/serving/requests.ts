// CPU of whole requests: with a vector that is stored, one that is not and an answer that the client has, in turns; and of
// short texts on each tier, beside what the platform's plans give a request.
import { EmbedResponse } from '../../../contracts/src/api/embed.ts';
import { cpuMs } from '../process.ts';
import { inRounds, medians, warmUp } from '../rounds.ts';
import { startServer } from './server.ts';
import { WORDS } from './texts.ts';

const TURN = 50;
const TOKENS = 8;
const LINES = 2000;

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
    const turn = async (name: keyof typeof kinds) => {
      const { send, isRight } = kinds[name];
      const started = cpuMs(pid);
      for (let i = 0; i < TURN; i++) {
        const answer = await send();
        if (!isRight(answer)) throw new Error(`${name}: ${JSON.stringify(answer)}`);
      }
      return ((cpuMs(pid) - started) * 1000) / TURN;
    };
    await warmUp(runs, () => ask({ input: newText() }));
    const taken = await inRounds(runs, async () => ({
      empty_us: await turn('empty_us'),
      hit_us: await turn('hit_us'),
      not_modified_us: await turn('not_modified_us'),
      student_us: await turn('student_us'),
      static_us: await turn('static_us'),
      logging_us: (((await log(LINES)) - (await log(0))) * 1000) / LINES,
    }));
    return medians(taken);
  } finally {
    await stop();
  }
}
