// Who computes next on the one thread of an isolate: fair queueing of requests whose work is cut into blocks.
//
// Every request is charged for the blocks that it computes. Before each of them it waits on timers of its own until no
// waiting request was charged less; a new one begins where a request would be that was here all the time and had its equal
// share. So a short request goes before the next block of a long one, and however many short ones come, a long one still
// gets its share. Requests share plain values only (see lease.ts). One that was dropped does not fire its timers any more,
// and is passed over by the others.
//
// Work is given in milliseconds on the machine where it was measured; `pace` is how much longer it takes here. Production
// Workers stop their clock while they compute, and set it when a timer fires: time is read after timers only, so that the
// blocks computed in between are in it.
import { sleep } from './lease.ts';

export interface FairQueueOptions {
  /** How long a request may wait for the work of others. */
  waitMs: number;
  /** It may also wait for this many times its own work. */
  patience: number;
  /** Lets work go on when the request that began it is answered: `waitUntil`. Absent: only requests that compute let others in. */
  background?: ((work: Promise<void>) => void) | undefined;
}

export interface FairQueue {
  /** Milliseconds until a request with that work is admitted, if no other comes; 0: at once. */
  wait(work: number): number;
  /** `signal` aborts when the request's client has gone. */
  enter(work: number, signal: AbortSignal): Member;
}

export interface Member {
  /**
   * Resolves when this request may compute its next block, which is that much work: with the milliseconds for which others
   * went first, by clock readings that leave out what this request computed itself.
   */
  next(work: number): Promise<number>;
  leave(): void;
}

interface Entry {
  /** Work still to be done. */
  left: number;
  charged: number;
  isWaiting: boolean;
  /** When it last read the clock, which shows that it was not dropped. */
  seen: number;
  /** The first reading of the clock at a timer, by any request, since this one has been waiting. */
  waitsSince: number | undefined;
}

/** The most work between two timers, whichever requests do it: requests that wait in the runtime come in at a timer only. */
const BREATH = 15;
/** The same for a request that has begun, while the isolate is shared: others are here, or were within the last SHARED_FOR of work. */
const SHORT_BREATH = 2;
const SHARED_FOR = 1000;
/** The most work that the shortest requests do until a timer that was set behind an answer has fired. */
const TIMER = 4;
/** A request that waits polls every millisecond. One that missed this many polls of others, over at least this time, was dropped. */
const MISSED_MS = 50;
const MISSED_POLLS = 5;
/** A request that neither waits nor computes may be opening a model. It is not counted for longer than this. */
const LEASE_MS = 5_000;
/** The measured pace is a mean over about this much work. */
const PACE_MEMORY = 300;
/** Bounds of the measured pace: a clock that jumps must not stop the queue. */
const PACE_LIMITS = [0.2, 20] as const;

export function createFairQueue({ waitMs, patience, background }: FairQueueOptions): FairQueue {
  const entries = new Set<Entry>();
  /** What a request that was here all the time would have been charged. */
  let fairCharge = 0;
  let done = 0;
  let pace = 1;
  let othersSeen = Number.NEGATIVE_INFINITY;
  const breath = createBreath(background);

  function prune(now: number): void {
    for (const entry of entries) if (now - entry.seen > LEASE_MS) entries.delete(entry);
  }

  /** Work of others that comes before the end of a request with that work, once every request was given `served`. */
  function ahead(work: number, served = 0): number {
    let sum = 0;
    for (const { left } of entries) sum += Math.min(Math.max(left - served, 0), work);
    return sum;
  }

  return {
    wait(work) {
      prune(Date.now());
      const limit = waitMs / pace + patience * work;
      if (ahead(work) <= limit) return 0;
      let [low, high] = [0, Math.max(...[...entries].map(({ left }) => left))];
      for (let step = 0; step < 30; step++) {
        const middle = (low + high) / 2;
        if (ahead(work, middle) > limit) low = middle;
        else high = middle;
      }
      let sum = 0;
      for (const { left } of entries) sum += Math.min(left, high);
      return sum * pace;
    },

    enter(work, signal) {
      const mine: Entry = {
        left: work,
        charged: fairCharge,
        isWaiting: false,
        seen: Date.now(),
        waitsSince: undefined,
      };
      if (entries.size > 0) othersSeen = done;
      entries.add(mine);
      function leave(): void {
        // Work that was announced and not charged was done beside the blocks: reading, say.
        if (entries.delete(mine)) breath.spend(mine.left);
      }
      // workerd drops a cancelled request as it stands, so that no `finally` is reached; its listeners are called.
      signal.addEventListener('abort', leave);
      let mark = { at: mine.seen, done };
      let hasBegun = false;
      let sinceBreath = 0;

      function grant(block: number): void {
        // Others may have taken it for dropped.
        entries.add(mine);
        mine.isWaiting = false;
        mine.charged += block;
        mine.left = Math.max(0, mine.left - block);
        fairCharge += block / entries.size;
        done += block;
        breath.spend(block);
        sinceBreath += block;
        hasBegun = true;
      }

      /** Work that may be computed before the next timer, at which requests that wait in the runtime come in and can be counted. */
      function room(): number {
        // A timer takes longer than the static tier does for a text: a request that comes alone begins without one.
        if (!hasBegun) return entries.size === 1 ? BREATH - breath.spent() : 0;
        return (done - othersSeen < SHARED_FOR ? SHORT_BREATH : BREATH) - sinceBreath;
      }

      function readClock(): void {
        signal.throwIfAborted();
        mine.seen = Date.now();
        breath.taken();
        if (done > mark.done) pace = learned(pace, { elapsed: mine.seen - mark.at, work: done - mark.done });
        mark = { at: mine.seen, done };
        for (const entry of entries) if (entry.isWaiting) entry.waitsSince ??= mine.seen;
      }

      /** Whether this request is next, asked at every timer. A request that was next and has not polled for long was dropped. */
      let missed: { entry: Entry; seen: number; polls: number } | undefined;
      function isMyTurn(): boolean {
        const best = firstOf(entries);
        if (!best || best === mine) return true;
        if (missed?.entry !== best || missed.seen !== best.seen) missed = { entry: best, seen: best.seen, polls: 0 };
        missed.polls++;
        if (missed.polls > MISSED_POLLS && mine.seen - best.seen > MISSED_MS) entries.delete(best);
        return false;
      }

      return {
        leave() {
          leave();
          if (entries.size === 0) breath.takeBehind(work);
        },
        async next(block) {
          signal.throwIfAborted();
          if (entries.size > 1) othersSeen = done;
          if (block <= room()) {
            grant(block);
            return 0;
          }
          entries.add(mine);
          mine.isWaiting = true;
          mine.waitsSince = undefined;
          sinceBreath = 0;
          do {
            await sleep(0);
            readClock();
          } while (!isMyTurn());
          grant(block);
          return mine.seen - (mine.waitsSince ?? mine.seen);
        },
      };
    },
  };
}

/**
 * Counts work since the last timer. A request that waits for a timer waits a millisecond; a timer that fires while an
 * answer is on its way delays no request.
 */
function createBreath(background: FairQueueOptions['background']) {
  let spent = 0;
  let isComing = false;
  function taken(): void {
    spent = 0;
    isComing = false;
  }
  return {
    /** Work of all requests since a timer let others in. */
    spent: () => spent,
    spend(work: number): void {
      spent += work;
    },
    taken,
    /** Sets a timer behind the answer of the last request here, early enough that the next one of as much work need not wait for one. */
    takeBehind(work: number): void {
      if (!background || isComing || work > BREATH || spent + Math.max(2 * work, TIMER) <= BREATH) return;
      isComing = true;
      background(sleep(0).then(taken));
    },
  };
}

function learned(pace: number, { elapsed, work }: { elapsed: number; work: number }): number {
  const weight = 1 - Math.exp(-work / PACE_MEMORY);
  const [least, most] = PACE_LIMITS;
  return pace + weight * (Math.min(most, Math.max(least, elapsed / work)) - pace);
}

/** The waiting request that was charged least; of equals the one that came first. */
function firstOf(entries: Iterable<Entry>): Entry | undefined {
  let found: Entry | undefined;
  for (const entry of entries) if (entry.isWaiting && !(found && found.charged <= entry.charged)) found = entry;
  return found;
}
