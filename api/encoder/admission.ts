// Counts the work that waits for the encoder and refuses what would be too much.

/** `bytes` of request bodies held, `images` and their `pixels` (by header) that wait for a verdict. */
export interface Load {
  bytes: number;
  images: number;
  pixels: number;
}

export interface Admission {
  /** Undefined when full. Otherwise call the returned function once, when the work is done. */
  enter(load: Partial<Load>): (() => void) | undefined;
  pending(): Load;
  /** Seconds until a place is likely, estimated from the pace so far: for Retry-After. */
  retryAfter(): number;
}

/** About five seconds of one core's decoding, and a quarter of a small container's memory. */
export const ADMISSION_LIMITS: Load = { bytes: 128 * 1024 * 1024, images: 128, pixels: 256_000_000 };

/** A load larger than the limits enters while no other of its kind waits, so that every valid request is served. */
export function createAdmission(limits: Load = ADMISSION_LIMITS): Admission {
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
