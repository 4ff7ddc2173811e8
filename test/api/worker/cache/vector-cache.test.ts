// Requests that were dropped while they computed, and the memory of their isolate.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test, vi } from 'vitest';
import { createMemoryStore } from '../../../../api/worker/cache/memory.ts';
import { createVectorCache } from '../../../../api/worker/cache/vector-cache.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Of a collection that was at work already the second one is not: it sees what has become garbage since. */
function heapBytes(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

const KEY_BYTES = 10_000;
const REQUESTS = 4000;

test('requests that were dropped leave no claims behind', async () => {
  vi.useFakeTimers();
  try {
    const cache = createVectorCache({ memory: createMemoryStore(1 << 10) });
    const key = (request: number) => Buffer.alloc(KEY_BYTES, `${request}.`).toString('latin1');
    const before = heapBytes();
    for (let request = 0; request < REQUESTS; request++) {
      // Its end is never reached, and so no `finally` either.
      void cache.through([key(request)], () => new Promise(() => {}), { forMs: 500 });
      await vi.advanceTimersByTimeAsync(100);
    }
    expect(heapBytes() - before).toBeLessThan((REQUESTS * KEY_BYTES) / 4);
    const unit = Float32Array.of(1, 0);
    const last = cache.through([key(REQUESTS - 1)], async () => [{ vector: unit }], { forMs: 500 });
    await vi.advanceTimersByTimeAsync(1000);
    expect([...(await last).outcomes.values()]).toEqual([{ vector: unit }]);
  } finally {
    vi.useRealTimers();
  }
});
