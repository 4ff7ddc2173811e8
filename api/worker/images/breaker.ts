// Remembers the state of the image encoder between requests of an isolate: whether it answers, and how many second tries are left.

/** After this many failures in a row nothing is sent for a while. */
const FAILURES = 5;
const OPEN_MS = 5_000;
const MOST_OPEN_MS = 60_000;
/** A call that was dropped with its request never reports: another one may try after this time. */
const PROBE_MS = 35_000;

export interface Breaker {
  /** Undefined: go ahead, and report. Otherwise seconds until it is worth asking again. */
  refusal(): number | undefined;
  succeeded(): void;
  failed(): void;
  /** The call was ended before the encoder could be told good or bad: another one may try. */
  ended(): void;
  /** The same as `refusal` says, without taking the one call that may try; undefined: it would let a call through. */
  pausesFor(): number | undefined;
}

/**
 * Closed, it lets everything through; open, nothing. When the pause is over a single call goes through: if it succeeds the
 * breaker closes, if it fails the pause is twice as long.
 */
export function createBreaker(): Breaker {
  let [failures, pauseMs, opensAt, probeEnds] = [0, OPEN_MS, 0, 0];
  function pausesFor(): number | undefined {
    const now = Date.now();
    if (failures < FAILURES) return undefined;
    if (now < opensAt) return Math.ceil((opensAt - now) / 1000);
    return now < probeEnds ? Math.ceil(OPEN_MS / 1000) : undefined;
  }
  return {
    pausesFor,
    refusal() {
      const seconds = pausesFor();
      if (seconds === undefined && failures >= FAILURES) probeEnds = Date.now() + PROBE_MS;
      return seconds;
    },
    succeeded() {
      [failures, pauseMs, probeEnds] = [0, OPEN_MS, 0];
    },
    failed() {
      failures += 1;
      const now = Date.now();
      if (failures < FAILURES) return;
      // Calls that were under way when it opened fail too, and say nothing new.
      const isProbe = now < probeEnds;
      if (failures > FAILURES && !isProbe) return;
      if (isProbe) pauseMs = Math.min(2 * pauseMs, MOST_OPEN_MS);
      [opensAt, probeEnds] = [now + pauseMs, 0];
    },
    ended() {
      probeEnds = 0;
    },
  };
}

/** One request in ten may be tried again, so that an encoder in trouble does not get twice the work. */
export interface RetryBudget {
  earn(): void;
  /** Whether there was one left. */
  spend(): boolean;
}

const EARNED = 0.1;
const MOST_RETRIES = 3;

export function createRetryBudget(): RetryBudget {
  let left = MOST_RETRIES;
  return {
    earn() {
      left = Math.min(MOST_RETRIES, left + EARNED);
    },
    spend() {
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}
