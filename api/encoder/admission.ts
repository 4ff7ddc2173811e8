// The door's counter: how much is waiting, and when one more would be too much.

/** `bytes` of request bodies held, `images` and their `pixels` (by header) that wait for a verdict. */
export type Load = { bytes: number; images: number; pixels: number };

export type Admission = {
  /** Undefined when full; else call what it returns, once, when the work is done. */
  enter(load: Partial<Load>): (() => void) | undefined;
  pending(): Load;
  /** Seconds until a place is likely, from the pace so far: for Retry-After. */
  retryAfter(): number;
};

/** About five seconds of one core's decoding, and a quarter of a small container's memory. */
export const DOOR: Load = { bytes: 128 * 1024 * 1024, images: 128, pixels: 256_000_000 };

/** A single load larger than the limits enters while nothing like it waits, so no valid request is refused for ever. */
export function createAdmission(limits: Load = DOOR): Admission {
  const pending: Load = { bytes: 0, images: 0, pixels: 0 };
  const names = ['bytes', 'images', 'pixels'] as const;
  let secondsPerImage = 0.1;

  return {
    enter(partial) {
      const load: Load = { bytes: 0, images: 0, pixels: 0, ...partial };
      const full = names.some(
        (name) => load[name] > 0 && pending[name] > 0 && pending[name] + load[name] > limits[name],
      );
      if (full) return undefined;
      for (const name of names) pending[name] += load[name];
      const ahead = pending.images;
      const entered = performance.now();
      return () => {
        for (const name of names) pending[name] -= load[name];
        if (load.images > 0) {
          const seconds = (performance.now() - entered) / 1000 / Math.max(1, ahead);
          secondsPerImage = 0.8 * secondsPerImage + 0.2 * seconds;
        }
      };
    },
    pending: () => ({ ...pending }),
    retryAfter: () => Math.min(30, Math.max(1, Math.ceil(pending.images * secondsPerImage))),
  };
}
