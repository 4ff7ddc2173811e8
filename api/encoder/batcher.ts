// Dynamic micro-batching: images of concurrent requests share a run of the graph, and every caller gets its own vector.
import type { Prepared } from './pixels/preprocess.ts';
import type { ImageSession } from './session.ts';

/** A batch runs when it is full or its first image has waited `waitMs`; while one runs, the next one fills up. */
export interface BatcherOptions {
  maxBatch: number;
  waitMs: number;
}
export type Embed = (picture: Prepared) => Promise<Float32Array>;

interface Waiting {
  picture: Prepared;
  resolve: (vector: Float32Array) => void;
  reject: (reason: unknown) => void;
}

export function createBatcher(session: Pick<ImageSession, 'run'>, { maxBatch, waitMs }: BatcherOptions): Embed {
  const waiting: Waiting[] = [];
  let isRunning = false;
  let timer: NodeJS.Timeout | undefined;

  const runBatch = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    isRunning = true;
    const batch = waiting.splice(0, maxBatch);
    try {
      const vectors = await session.run(batch.map(({ picture }) => picture));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const vector = vectors[index];
        if (vector) resolve(vector);
        else reject(new Error(`the session returned ${vectors.length} vectors for ${batch.length} images`));
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
    isRunning = false;
    schedule();
  };

  const schedule = (): void => {
    if (isRunning || waiting.length === 0) return;
    if (waiting.length >= maxBatch) void runBatch();
    else timer ??= setTimeout(() => void runBatch(), waitMs);
  };

  return (picture) =>
    new Promise((resolve, reject) => {
      waiting.push({ picture, resolve, reject });
      schedule();
    });
}
