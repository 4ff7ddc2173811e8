// Turns on one thread, by a false clock: who computes next, who is refused and for how long, what a dropped request leaves.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createFairQueue, type FairQueue } from '../../../../api/worker/isolate/fair-queue.ts';

const PATIENT = { waitMs: 1e6, patience: 3 };
const alive = () => new AbortController().signal;
const never = new Promise<never>(() => {});

let log: string[];
beforeEach(() => {
  vi.useFakeTimers();
  log = [];
});
afterEach(() => {
  vi.useRealTimers();
});

interface Played {
  name: string;
  work: number;
  block?: number;
  signal?: AbortSignal;
  /** How much longer work takes than it should. */
  slowness?: number;
  /** Blocks after which it is dropped as it stands. */
  dropAfter?: number;
}

/** A request that computes its work in blocks; a block holds the thread, so that no timer fires meanwhile. */
async function request(queue: FairQueue, { name, work, block = 20, signal = alive(), ...odd }: Played) {
  const member = queue.enter(work, signal);
  for (let left = work, blocks = 0; left > 0; left -= block, blocks++) {
    await member.next(block);
    if (blocks === odd.dropAfter) await never;
    vi.setSystemTime(Date.now() + block * (odd.slowness ?? 1));
    log.push(name);
  }
  member.leave();
}
/** Lets timers fire for that many milliseconds; blocks take time beside. */
const soon = (ms = 1) => vi.advanceTimersByTimeAsync(ms);
/** So many milliseconds later by the clock. */
async function pass(ms: number) {
  for (const end = Date.now() + ms; Date.now() < end; ) await soon();
}
const count = (name: string) => log.filter((each) => each === name).length;

describe('turns', () => {
  test('a short request goes before the next block of a long one', async () => {
    const queue = createFairQueue(PATIENT);
    void request(queue, { name: 'long', work: 10_000 });
    await soon(10);
    const before = log.length;
    void request(queue, { name: 'short', work: 20 });
    await soon(10);
    expect(log.slice(before, before + 2)).toContain('short');
  });

  test('nobody computes before those who came at the same time are counted', async () => {
    const queue = createFairQueue({ waitMs: 30, patience: 0 });
    const waits: boolean[] = [];
    for (let i = 0; i < 10; i++) {
      waits.push(queue.wait(5) > 0);
      void request(queue, { name: `${i}`, work: 5, block: 1 });
    }
    expect(log).toEqual([]);
    expect(waits.lastIndexOf(false)).toBe(6);
    await soon(10);
    expect(log).toHaveLength(50);
  });

  test('those that come one after another begin at once, until others have to be let in', async () => {
    const queue = createFairQueue(PATIENT);
    const timers: number[] = [];
    for (let i = 0; i < 9; i++) {
      // Of 4 milliseconds of work one is beside its block.
      const member = queue.enter(4, alive());
      const turn = member.next(3);
      timers.push(vi.getTimerCount());
      await soon();
      await turn;
      member.leave();
    }
    expect(timers).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 1]);
    queue.enter(4, alive());
    void queue.enter(4, alive()).next(3);
    expect(vi.getTimerCount()).toBe(1);
  });

  /** How many of 40 requests begin without a timer, each after the one before has ended and `between` has passed. */
  async function beginAtOnce(queue: FairQueue, between: () => Promise<unknown>, end = (leave: () => void) => leave()) {
    let begun = 0;
    for (let i = 0; i < 40; i++) {
      const member = queue.enter(4, alive());
      let isWaiting = true;
      const turn = member.next(3).then(() => {
        isWaiting = false;
      });
      for (let step = 0; step < 3; step++) await Promise.resolve();
      if (isWaiting) await soon();
      else begun++;
      await turn;
      end(member.leave);
      await between();
    }
    return begun;
  }
  const atOnce = () => Promise.resolve();

  test('behind an answer others are let in by a timer that no request waits for', async () => {
    const behind: Promise<void>[] = [];
    const queue = createFairQueue({ ...PATIENT, background: (work) => void behind.push(work) });
    expect(await beginAtOnce(queue, soon)).toBe(40);
    await Promise.all(behind);
    // Four of 4 milliseconds are more than is computed before others have to be let in: after every second.
    expect(behind).toHaveLength(20);
    // Where one follows on the other in the runtime, so that no timer fires, and where nothing goes on behind answers.
    expect(await beginAtOnce(queue, atOnce)).toBeLessThan(32);
    expect(await beginAtOnce(createFairQueue(PATIENT), soon)).toBe(31);
  });

  test('where the timer behind an answer was dropped, requests wait for timers of their own', async () => {
    const behind: Promise<void>[] = [];
    const queue = createFairQueue({ ...PATIENT, background: (work) => void behind.push(work) });
    const { setTimeout: real } = globalThis;
    const dropTimers = (leave: () => void) => {
      vi.stubGlobal('setTimeout', () => 0);
      leave();
      vi.stubGlobal('setTimeout', real);
    };
    expect(await beginAtOnce(queue, soon, dropTimers)).toBe(31);
    expect(behind.length).toBeGreaterThan(8);
    expect(await beginAtOnce(queue, soon)).toBeGreaterThan(38);
  });

  test('of more than can be computed, those that wait in the runtime are counted and refused', async () => {
    const queue = createFairQueue({ waitMs: 30, patience: 0 });
    let refused = 0;
    for (let i = 0; i < 100; i++) {
      setTimeout(() => {
        if (queue.wait(5) > 0) refused++;
        else void request(queue, { name: `${i}`, work: 5, block: 5 });
      });
    }
    await soon(100);
    expect(refused).toBeGreaterThan(80);
    expect(log.length).toBe(100 - refused);
  });

  test('two long requests get the same share, whichever came first', async () => {
    const queue = createFairQueue(PATIENT);
    void request(queue, { name: 'first', work: 10_000 });
    await soon(100);
    const head = count('first');
    void request(queue, { name: 'second', work: 10_000 });
    await soon(100);
    expect(Math.abs(count('first') - head - count('second'))).toBeLessThanOrEqual(1);
    expect(count('second')).toBeGreaterThan(20);
  });

  test('the share is of work, not of blocks', async () => {
    const queue = createFairQueue(PATIENT);
    void request(queue, { name: 'coarse', work: 10_000, block: 40 });
    void request(queue, { name: 'fine', work: 10_000, block: 10 });
    await soon(200);
    expect(count('fine') / count('coarse')).toBeCloseTo(4, 0);
  });

  test('a long request goes on however many short ones come', async () => {
    const queue = createFairQueue(PATIENT);
    void request(queue, { name: 'long', work: 10_000 });
    for (let i = 0; i < 400; i++) {
      void request(queue, { name: 'short', work: 20 });
      void request(queue, { name: 'short', work: 20 });
      await soon();
    }
    expect(count('long')).toBeGreaterThan(10);
  });

  test('a request whose client has gone stops before its next block', async () => {
    const queue = createFairQueue(PATIENT);
    const client = new AbortController();
    const gone = request(queue, { name: 'gone', work: 10_000, signal: client.signal });
    const refusal = expect(gone).rejects.toThrow('gone');
    await soon(10);
    const blocks = log.length;
    client.abort(new Error('gone'));
    await soon(10);
    await refusal;
    expect(log).toHaveLength(blocks);
  });

  test('a request that was dropped while it waited is passed over', async () => {
    const queue = createFairQueue(PATIENT);
    void request(queue, { name: 'long', work: 10_000 });
    await soon(10);
    // Its timer is taken away, as workerd does: it was charged nothing, and would be the next again and again.
    const { setTimeout: real } = globalThis;
    vi.stubGlobal('setTimeout', () => 0);
    void request(queue, { name: 'dropped', work: 20 });
    await Promise.resolve();
    vi.stubGlobal('setTimeout', real);
    const before = count('long');
    await soon(1000);
    expect(count('long') - before).toBeGreaterThan(100);
    expect(count('dropped')).toBe(0);
  });
});

describe('a request that would wait too long', () => {
  const full = (queue: FairQueue, requests: number, slowness = 1) => {
    for (let i = 0; i < requests; i++) void request(queue, { name: `${i}`, work: 1000, slowness });
  };

  test('is refused, and taken after the time it was told', async () => {
    const queue = createFairQueue({ waitMs: 500, patience: 1 });
    full(queue, 4);
    expect(queue.wait(1000)).toBeGreaterThan(0);
    const ms = queue.wait(1000);
    expect(ms).toBeLessThan(4000);
    await pass(ms * 0.8);
    expect(queue.wait(1000)).toBeGreaterThan(0);
    await pass(ms * 0.25);
    expect(queue.wait(1000)).toBe(0);
  });

  test('is taken while the waiting is short against its own work, and a short one still longer', () => {
    const queue = createFairQueue({ waitMs: 500, patience: 1 });
    full(queue, 2);
    expect(queue.wait(300)).toBe(0);
    expect(queue.wait(1000)).toBeGreaterThan(0);
    expect(queue.wait(10)).toBe(0);
  });

  test('is told the pace of this machine', async () => {
    const queue = createFairQueue({ waitMs: 500, patience: 1 });
    full(queue, 4, 5);
    await pass(3000);
    const ms = queue.wait(1000);
    await pass(ms * 0.8);
    expect(queue.wait(1000)).toBeGreaterThan(0);
    await pass(ms * 0.3);
    expect(queue.wait(1000)).toBe(0);
  });

  test('is not kept out by one whose client has gone', () => {
    const queue = createFairQueue({ waitMs: 0, patience: 0 });
    const client = new AbortController();
    queue.enter(1000, client.signal);
    expect(queue.wait(10)).toBeGreaterThan(0);
    client.abort();
    expect(queue.wait(10)).toBe(0);
  });

  test('is not kept out for longer than a lease by one that was dropped without a sign', async () => {
    const queue = createFairQueue({ waitMs: 0, patience: 0 });
    void request(queue, { name: 'dropped', work: 1000, dropAfter: 3 });
    await soon(100);
    expect(queue.wait(10)).toBeGreaterThan(0);
    await pass(6000);
    expect(queue.wait(10)).toBe(0);
  });

  test('is not let in before a slow one that is still computing', async () => {
    const queue = createFairQueue({ waitMs: 0, patience: 0 });
    void request(queue, { name: 'slow', work: 1000, block: 20, slowness: 100 });
    await pass(60_000);
    expect(count('slow')).toBeGreaterThan(10);
    expect(queue.wait(10)).toBeGreaterThan(0);
  });
});

test('what a request waited is the time of others, and nothing of its own', async () => {
  const queue = createFairQueue(PATIENT);
  async function waits(blocks: number[]): Promise<number[]> {
    const member = queue.enter(100, alive());
    const waited: number[] = [];
    for (const block of blocks) {
      waited.push(await member.next(block));
      // The clock of the platform stands still meanwhile, and is right again at the next timer.
      vi.setSystemTime(Date.now() + block);
    }
    member.leave();
    return waited;
  }
  const alone = waits([20, 20, 20]);
  await soon(10);
  expect(await alone).toEqual([0, 0, 0]);
  const [first, second] = [waits([30]), waits([40])];
  await soon(10);
  expect([await first, await second]).toEqual([[0], [30]]);
});
