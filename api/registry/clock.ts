// The clock of what waits: hosts give the real one, tests a false one.

export interface Clock {
  /** Milliseconds. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Calls `beat` again and again; returns how to stop that. The timer belongs to the request that asks for it. */
  every(ms: number, beat: () => void): () => void;
}

/** The clock of this process or isolate. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (ms) => new Promise((wake) => setTimeout(wake, ms)),
  every(ms, beat) {
    const timer = setInterval(beat, ms);
    return () => clearInterval(timer);
  },
};
