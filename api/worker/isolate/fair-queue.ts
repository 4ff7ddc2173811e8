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
  /** Milliseconds until a request with that work is taken, if no other comes; 0: at once. */
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
  /** When it was last seen alive. */
  seen: number;
  /** The first true reading of the clock, by whoever, since it has been waiting. */
  waitsSince: number | undefined;
}

/** Others that may be coming in are let in after so much work at the latest, whoever does it. */
const BREATH = 15;
/** What the shortest requests come to until a timer behind an answer has fired. */
const TIMER = 4;
/** By a request that has begun, while others are here, or were within the last SHARED_FOR, after so much. */
const SHORT_BREATH = 2;
const SHARED_FOR = 1000;
/** A request that waits looks every millisecond. One that did not for so long, while others did, was dropped. */
const MISSED_MS = 50;
const MISSED_LOOKS = 5;
/** A request that does not wait may be opening a model. It is not counted any longer than this. */
const LEASE_MS = 5_000;
/** Over this much work the measured pace forgets. */
const PACE_MEMORY = 300;
const PACE_LIMITS = [0.2, 20] as const;

export function createFairQueue({ waitMs, patience, background }: FairQueueOptions): FairQueue {
  const entries = new Set<Entry>();
  /** What a request would have been charged that was here all the time. */
  let fairCharge = 0;
  let done = 0;
  let pace = 1;
  let othersSeen = Number.NEGATIVE_INFINITY;
  const breath = createBreath(background);

  function prune(now: number): void {
    for (const entry of entries) if (now - entry.seen > LEASE_MS) entries.delete(entry);
  }

  /** Work of others that goes before the end of a request with that work, once everybody was given `served`. */
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
        // What it took beside its blocks.
        if (entries.delete(mine)) breath.spend(mine.left);
      }
      // workerd drops a cancelled request as it stands, so that no `finally` is reached; its listeners are called.
      signal.addEventListener('abort', leave);
      let mark = { at: mine.seen, done };
      let hasBegun = false;
      let sinceBreath = 0;

      function grant(block: number): void {
        // A request that was taken for dropped and was not.
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

      /** How much may be computed before others are let in: those who wait in the runtime come in then, and can be counted. */
      function room(): number {
        // A timer takes longer than the static tier does for a text: who comes alone begins without one.
        if (!hasBegun) return entries.size === 1 ? BREATH - breath.spent() : 0;
        return (done - othersSeen < SHARED_FOR ? SHORT_BREATH : BREATH) - sinceBreath;
      }

      function look(): void {
        signal.throwIfAborted();
        mine.seen = Date.now();
        breath.taken();
        if (done > mark.done) pace = learned(pace, { elapsed: mine.seen - mark.at, work: done - mark.done });
        mark = { at: mine.seen, done };
        for (const entry of entries) if (entry.isWaiting) entry.waitsSince ??= mine.seen;
      }

      /** A timer's look at who goes next; whoever was next and has not looked for long was dropped. */
      let missed: { entry: Entry; seen: number; looks: number } | undefined;
      function isMyTurn(): boolean {
        const best = firstOf(entries);
        if (!best || best === mine) return true;
        if (missed?.entry !== best || missed.seen !== best.seen) missed = { entry: best, seen: best.seen, looks: 0 };
        missed.looks++;
        if (missed.looks > MISSED_LOOKS && mine.seen - best.seen > MISSED_MS) entries.delete(best);
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
            look();
          } while (!isMyTurn());
          grant(block);
          return mine.seen - (mine.waitsSince ?? mine.seen);
        },
      };
    },
  };
}

/**
 * Others that wait in the runtime come in when a timer fires. A request that waits for one waits a millisecond; one that
 * runs while an answer is under way costs nobody any.
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
    /** Behind the last request here, of so much work: early enough that no request of such work waits for a timer. */
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
