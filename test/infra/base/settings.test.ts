// The schema of settings: which values it refuses.
import { describe, expect, it } from 'vitest';
import { Settings } from '../../../infra/base/settings.ts';
import { settingsOf } from '../../../infra/environments.ts';

const [dev, prod] = [settingsOf('dev'), settingsOf('prod')];

describe('settings', () => {
  it('refuse the name of a recipe that no recipe may have', () => {
    const schedule = (name: string) => ({ ...dev, schedule: { ...dev.schedule, recipes: [name] } });
    expect(() => Settings.parse(schedule('a'.repeat(65)))).toThrow();
    expect(Settings.parse(schedule('a'.repeat(64))).schedule.recipes).toEqual(['a'.repeat(64)]);
  });

  it('refuse more machines than the budget, and too few for one training job', () => {
    const gpu = (spot_max_vcpus: number) => ({ ...dev, gpu: { ...dev.gpu, spot_max_vcpus } });
    expect(() => Settings.parse(gpu(65))).toThrow();
    expect(() => Settings.parse(gpu(15))).toThrow();
    expect(Settings.parse(gpu(64)).gpu.spot_max_vcpus).toBe(64);
  });

  it('refuse machines side by side where they could not reach anything', () => {
    const nodes = { on_demand_max_vcpus: 384 };
    expect(() => Settings.parse({ ...dev, nodes })).toThrow(/need network \\"nat\\"/);
    expect(Settings.parse({ ...prod, nodes }).nodes).toEqual(nodes);
    expect(() => Settings.parse({ ...prod, nodes: { on_demand_max_vcpus: 385 } })).toThrow();
  });

  it('refuse an encoder whose calls nothing bounds', () => {
    const encoder = { reserved_concurrency: null, model_name: null };
    expect(() => Settings.parse({ ...dev, encoder })).toThrow();
  });

  it('refuse a registry of another kind', () => {
    for (const registry of ['r2', 's3']) expect(Settings.parse({ ...dev, registry }).registry).toBe(registry);
    expect(() => Settings.parse({ ...dev, registry: 'gcs' })).toThrow();
  });
});
