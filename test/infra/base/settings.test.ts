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

  it('take the kinds of machines that a region has, and not none', () => {
    const gpu = (families: string[]) => ({ ...dev, gpu: { ...dev.gpu, families } });
    expect(Settings.parse(gpu(['g5'])).gpu.families).toEqual(['g5']);
    expect(() => Settings.parse(gpu([]))).toThrow();
    expect(() => Settings.parse(gpu(['g4dn']))).toThrow();
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

  it('refuse a GPU where it could reach nothing, more of them than the budget, and more kept than there may be', () => {
    const gpu = { memory_gib: 24, least_machines: 1, most_machines: 7 };
    const encoder = (change: object) => ({ ...prod.encoder, gpu: { ...gpu, ...change } });
    expect(Settings.parse({ ...prod, encoder: encoder({}) }).encoder.gpu).toEqual(gpu);
    expect(() => Settings.parse({ ...dev, encoder: encoder({}) })).toThrow(/need network \\"nat\\"/);
    expect(() => Settings.parse({ ...prod, encoder: encoder({ most_machines: 8 }) })).toThrow();
    expect(() => Settings.parse({ ...prod, encoder: encoder({ memory_gib: 16 }) })).toThrow();
    const kept = encoder({ least_machines: 3, most_machines: 2 });
    expect(() => Settings.parse({ ...prod, encoder: kept })).toThrow(/most_machines says how many/);
  });

  it('refuse a registry of another kind', () => {
    for (const registry of ['r2', 's3']) expect(Settings.parse({ ...dev, registry }).registry).toBe(registry);
    expect(() => Settings.parse({ ...dev, registry: 'gcs' })).toThrow();
  });
});
