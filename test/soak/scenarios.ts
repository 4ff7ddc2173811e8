// The scenarios of `npm run soak`: each puts one kind of load on the server and holds the answers against a limit.
import { setTimeout as sleep } from 'node:timers/promises';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { startAlone } from './alone.ts';
import { type Answer, byStatus, type Client, createClient, quantile, sendAt, sendInTurn } from './load.ts';
import { watchMemory } from './memory.ts';
import { abort, reset, trickle } from './misbehaviour.ts';

export interface Target {
  url: string;
  /** Process id of workerd. */
  pid: number;
  client: Client;
  /** Ids by tier. */
  models: { student: string; static: string };
  context: number;
  signal: AbortSignal;
}

export interface Outcome {
  passed: boolean;
  /** What was asked for, in words. */
  wanted: string;
  figures: Record<string, number | string>;
}
export interface Scenario {
  name: string;
  /** About how long it takes. */
  seconds: number;
  run(target: Target): Promise<Outcome>;
}

/** Never the same text twice: what was computed is answered from the cache. */
let texts = 0;
const newText = (text: string) => `${texts++} ${text}`;
const ONE = 'a dog running through snow';
const WORDS = 'a brown dog runs through deep snow in the morning light near the old house ';
const batch = () => ({ input: Array.from({ length: 20 }, () => newText(WORDS.repeat(4))), types: ['base64'] });
/** What a caller of one word may lose to others, as a multiple of what it waits alone. */
const SLOWER = 5;

const one = ({ client, models }: Target, tier: 'student' | 'static' = 'student') =>
  client.post({ input: newText(ONE), model: models[tier] });
const rounded = (value: number) => Math.round(value * 10) / 10;
const times = (answers: Answer[]) => answers.filter(({ status }) => status === 200).map(({ ms }) => ms);
const p = (answers: Answer[], share: number) => rounded(quantile(times(answers), share));
const statuses = (answers: Answer[]) => JSON.stringify(byStatus(answers));
const isOnly = (answers: Answer[], allowed: number[]) => answers.every(({ status }) => allowed.includes(status));

async function idle(target: Target, tier: 'student' | 'static' = 'student', ms = 4000): Promise<Answer[]> {
  const end = performance.now() + ms;
  return sendInTurn(
    () => one(target, tier),
    () => performance.now() > end || target.signal.aborted,
  );
}

const steady: Scenario = {
  name: '50 requests a second',
  seconds: 30,
  async run(target) {
    const answers = await sendAt({ perSecond: 50, seconds: 30, signal: target.signal }, () => one(target));
    const failures = answers.filter(({ status }) => status !== 200).length;
    return {
      passed: failures === 0 && answers.length >= 1500,
      wanted: '1500 requests in 30 s, no failure',
      figures: { requests: answers.length, failures, p50_ms: p(answers, 0.5), p99_ms: p(answers, 0.99) },
    };
  },
};

/** Some 75 tokens. An empty request takes a third of what the shortest text takes: refusals of five times as many would. */
const paragraph = ({ client, models }: Target) =>
  client.post({ input: newText(WORDS.repeat(5)), model: models.student });

const overload: Scenario = {
  name: 'five times what the machine can take',
  seconds: 55,
  async run(target) {
    const { signal } = target;
    const end = performance.now() + 5000;
    const busy = () =>
      sendInTurn(
        () => paragraph(target),
        () => performance.now() > end || signal.aborted,
        0,
      );
    const saturating = (await Promise.all(Array.from({ length: 8 }, busy))).flat();
    const capacity = times(saturating).length / 5;
    const normal = await sendAt({ perSecond: 0.7 * capacity, seconds: 20, random: true, signal }, () =>
      paragraph(target),
    );
    const heavy = await sendAt({ perSecond: 5 * capacity, seconds: 15, random: true, signal }, () => paragraph(target));
    const refused = heavy.filter(({ status }) => status === 429 || status === 503);
    const told = refused.map(({ retryAfter = Number.NaN }) => retryAfter);
    const longest = Math.max(0, ...told);
    await sleep(longest * 1000, undefined, { signal }).catch(() => {});
    const after = await Promise.all(Array.from({ length: 4 }, () => paragraph(target)));
    const [before, under] = [p(normal, 0.99), p(heavy, 0.99)];
    return {
      passed:
        isOnly(heavy, [200, 429, 503]) &&
        refused.length > 0 &&
        told.every((seconds) => seconds >= 1) &&
        isOnly(after, [200]) &&
        under <= 2 * before,
      wanted: 'only 200, 429 and 503 with Retry-After; p99 of accepted ≤ 2 × normal; after Retry-After all answer',
      figures: {
        capacity_per_s: rounded(capacity),
        normal: statuses(normal),
        normal_p50_ms: p(normal, 0.5),
        normal_p99_ms: before,
        overload: statuses(heavy),
        accepted_per_s: rounded(times(heavy).length / 15),
        accepted_p50_ms: p(heavy, 0.5),
        accepted_p99_ms: under,
        refused_p99_ms: rounded(
          quantile(
            refused.map(({ ms }) => ms),
            0.99,
          ),
        ),
        retry_after_s: longest,
        afterwards: statuses(after),
      },
    };
  },
};

const misbehaved: Scenario = {
  name: 'four resets, 100 aborts, 50 slow bodies at once',
  seconds: 20,
  async run(target) {
    const { url, signal } = target;
    const alone = await idle(target);
    let isOver = false;
    const slow = new AbortController();
    const bad = (async () => {
      const trickling = Array.from({ length: 50 }, () => trickle(url, slow.signal));
      const resets = [100, 250, 400, 400].map((ms) => reset(url, batch(), ms));
      const aborts = Array.from({ length: 100 }, (_, i) => abort(url, batch(), 50 + 4 * i));
      await Promise.all([...resets, ...aborts]);
      await sleep(3000, undefined, { signal }).catch(() => {});
      isOver = true;
      slow.abort();
      await Promise.all(trickling);
    })();
    const others = await sendInTurn(
      () => one(target),
      () => isOver || signal.aborted,
    );
    slow.abort();
    await bad;
    const ratio = rounded(p(others, 0.95) / p(alone, 0.95));
    return {
      passed: isOnly(others, [200]) && ratio <= SLOWER,
      wanted: `others are all answered, p95 ≤ ${SLOWER} × idle`,
      figures: { idle_p95_ms: p(alone, 0.95), p95_ms: p(others, 0.95), ratio, others: statuses(others) },
    };
  },
};

/** `tier`: of the request at its limit and of the small ones. */
function longRequest(tier: 'student' | 'static'): Scenario {
  return {
    name: `one word beside ${LIMITS.tokens[tier]} tokens, ${tier}`,
    seconds: 30,
    async run(target) {
      const { client, models, context, signal } = target;
      const alone = await idle(target, tier);
      const special = tier === 'student' ? 2 : 0;
      const text = Array(context - special)
        .fill('dog')
        .join(' ');
      const items = Math.floor(LIMITS.tokens[tier] / context);
      let isOver = false;
      const long = (async () => {
        const answers: Answer[] = [];
        const start = performance.now();
        // Often enough for a percentile of the small ones.
        while (performance.now() - start < 10_000 && !signal.aborted) {
          const input = Array.from({ length: items }, () => newText(text));
          answers.push(await client.post({ input, model: models[tier], types: ['base64'] }));
        }
        isOver = true;
        return answers;
      })();
      const small = await sendInTurn(
        () => one(target, tier),
        () => isOver || signal.aborted,
      );
      const large = await long;
      const ratio = rounded(p(small, 0.95) / p(alone, 0.95));
      return {
        passed: isOnly(small, [200]) && isOnly(large, [200]) && ratio <= SLOWER,
        wanted: `p95 ≤ ${SLOWER} × idle, all answered`,
        figures: {
          idle_p95_ms: p(alone, 0.95),
          p95_ms: p(small, 0.95),
          ratio,
          small: statuses(small),
          long: statuses(large),
          long_ms: p(large, 0.5),
        },
      };
    },
  };
}

/**
 * The Worker alone in workerd, where `npm start` has Workers of Miniflare beside it. The first minutes fill the cache of
 * vectors and are not counted.
 */
function memory(minutes: number): Scenario {
  const WARM_UP = 120;
  const ALLOWED_MIB = 5;
  /** More texts than the cache of an isolate holds. */
  const CACHE_FULL = 20_000;
  return {
    name: `memory over ${minutes} minutes`,
    seconds: WARM_UP + minutes * 60,
    async run({ models, signal }) {
      const alone = await startAlone();
      const client = createClient(alone.url);
      const mixed = [
        () => ({ input: newText(ONE), model: models.student }),
        () => ({ input: batch().input.slice(0, 4), model: models.student }),
        () => ({ input: batch().input, model: models.static }),
        () => ({ input: newText(WORDS.repeat(400)), model: models.static }),
        () => ({ unknown: 'a body that is refused' }),
      ];
      let sent = 0;
      let isOver = false;
      const send = () => client.post(mixed[sent++ % mixed.length]?.() ?? {});
      const many = () => ({ input: Array.from({ length: 256 }, () => newText(ONE)), model: models.static });
      let samples: number[];
      let answers: Answer[];
      try {
        for (let i = 0; i < CACHE_FULL / 256 && !signal.aborted; i++) {
          await client.post({ ...many(), types: ['base64'] });
        }
        const load = Promise.all([1, 2].map(() => sendInTurn(send, () => isOver || signal.aborted, 50)));
        samples = await watchMemory(alone, { warmUpSeconds: WARM_UP, seconds: minutes * 60, signal });
        isOver = true;
        answers = (await load).flat();
      } finally {
        client.close();
        await alone.stop();
      }
      const fifths = Array.from({ length: 5 }, (_, n) => {
        const start = Math.min(Math.floor((n * samples.length) / 5), samples.length - 1);
        const end = Math.max(Math.floor(((n + 1) * samples.length) / 5), start + 1);
        return rounded(quantile(samples.slice(start, end), 0.5));
      });
      const [first = Number.NaN, last = Number.NaN] = [fifths[0], fifths.at(-1)];
      return {
        passed: last - first <= ALLOWED_MIB && isOnly(answers, [200, 400, 429]),
        wanted: `the last fifth's median RSS at most ${ALLOWED_MIB} MiB above the first fifth's`,
        figures: {
          fifths_mib: fifths.join(', '),
          growth_mib: rounded(last - first),
          highest_mib: rounded(Math.max(...samples)),
          requests: answers.length,
          statuses: statuses(answers),
        },
      };
    },
  };
}

export function scenarios(minutes: number): Scenario[] {
  return [steady, overload, misbehaved, longRequest('student'), longRequest('static'), memory(minutes)];
}
