// Readiness may be asked by anybody, often: golden vectors are computed again only now and then.
import { afterEach, expect, it, vi } from 'vitest';
import { openModel } from '../../../../api/text/open-model.ts';
import { once } from '../../../../api/worker/isolate/once.ts';
import { ReadyReport } from '../../../../contracts/src/api/models.ts';
import { appOf, DIMENSIONS, tableModel } from '../table-model.ts';

afterEach(() => {
  vi.useRealTimers();
});

/** `ask`: GET /health/ready. `computed`: how often a golden vector was. */
async function counted(encodeMs = 0) {
  const unit = [1, ...Array(DIMENSIONS - 1).fill(0)];
  const golden = [{ text: 'a dog', tier: 'static', embedding: unit, min_cosine: 0.5 }];
  const source = await tableModel({ changes: { golden } });
  const engine = { open: () => Promise.reject(new Error('there is no graph')) };
  const model = await openModel(source, { engine, once });
  const seen = { computed: 0 };
  const encode = async () => {
    seen.computed += 1;
    if (encodeMs > 0) await new Promise((resolve) => setTimeout(resolve, encodeMs));
    return [Float32Array.from(unit)];
  };
  const counting = { ...model, encoder: async () => encode };
  const { app } = appOf(source, { provider: { use: async (work) => work(counting) } });
  const ask = async () => ReadyReport.parse(await (await app.request('/health/ready')).json());
  return { ask, seen };
}

it('computes golden vectors once for all who ask at a time', async () => {
  const { ask, seen } = await counted(20);
  const reports = await Promise.all(Array.from({ length: 30 }, ask));
  expect(seen.computed).toBe(1);
  expect(new Set(reports.map((report) => JSON.stringify(report))).size).toBe(1);
});

it('computes golden vectors once for those who ask within two seconds, and again after', async () => {
  const { ask, seen } = await counted();
  vi.useFakeTimers({ toFake: ['Date'] });
  vi.setSystemTime(1_000_000);
  const first = await ask();
  expect(first.golden).toEqual([{ tier: 'static', cosine: 1, min_cosine: 0.5 }]);
  expect(await ask()).toEqual(first);
  vi.setSystemTime(1_001_900);
  await ask();
  expect(seen.computed).toBe(1);
  vi.setSystemTime(1_002_100);
  await ask();
  expect(seen.computed).toBe(2);
});
