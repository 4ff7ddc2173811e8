// The schema of settings: which values it refuses.
import { describe, expect, it } from 'vitest';
import { Settings } from '../../../infra/base/settings.ts';
import { ENVIRONMENTS } from '../../../infra/environments.ts';

describe('settings', () => {
  it('refuse a key that nobody reads', () => {
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, gpus: 8 })).toThrow(/unrecognized_keys[\s\S]*gpus/);
    const gpu = { ...ENVIRONMENTS.dev.gpu, spot_vcpus: 16 };
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, gpu })).toThrow(/unrecognized_keys[\s\S]*spot_vcpus/);
  });

  it('refuse the name of a recipe that no recipe may have', () => {
    const schedule = (name: string) => ({
      ...ENVIRONMENTS.dev,
      schedule: { ...ENVIRONMENTS.dev.schedule, recipes: [name] },
    });
    expect(() => Settings.parse(schedule('a'.repeat(65)))).toThrow();
    expect(Settings.parse(schedule('a'.repeat(64))).schedule.recipes).toEqual(['a'.repeat(64)]);
  });

  it('refuse more machines than the budget, and too few for one training job', () => {
    const gpu = (spot_max_vcpus: number) => ({ ...ENVIRONMENTS.dev, gpu: { ...ENVIRONMENTS.dev.gpu, spot_max_vcpus } });
    expect(() => Settings.parse(gpu(65))).toThrow();
    expect(() => Settings.parse(gpu(15))).toThrow();
    expect(Settings.parse(gpu(64)).gpu.spot_max_vcpus).toBe(64);
  });

  it('refuse machines side by side where they could not reach anything', () => {
    const nodes = { on_demand_max_vcpus: 384 };
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, nodes })).toThrow(/need network \\"nat\\"/);
    expect(Settings.parse({ ...ENVIRONMENTS.prod, nodes }).nodes).toEqual(nodes);
    expect(() => Settings.parse({ ...ENVIRONMENTS.prod, nodes: { on_demand_max_vcpus: 385 } })).toThrow();
  });

  it('take an R2 registry with an account and a bucket, and no other', () => {
    const registry = { kind: 'r2', account_id: '0'.repeat(32), bucket: 'models' };
    expect(Settings.parse({ ...ENVIRONMENTS.dev, registry }).registry).toEqual(registry);
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, registry: { ...registry, account_id: 'mine' } })).toThrow();
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, registry: { kind: 'gcs' } })).toThrow();
  });
});
