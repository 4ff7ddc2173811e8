// What settings there are, and which are refused.
import { describe, expect, it } from 'vitest';
import { ENVIRONMENTS, Settings, settingsOf } from '../../infra/environments.ts';

describe('settings', () => {
  it('are found by the name of the environment', () => {
    expect(settingsOf('dev').name).toBe('dev');
    expect(settingsOf('prod').name).toBe('prod');
  });

  it('name the environments that there are when asked for another', () => {
    expect(() => settingsOf('staging')).toThrow('-c environment=staging: no such environment; there is dev and prod');
    expect(() => settingsOf('constructor')).toThrow('there is dev and prod');
    expect(() => settingsOf(undefined)).toThrow('there is dev and prod');
  });

  it('refuse a key that nobody reads', () => {
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, gpus: 8 })).toThrow(/unrecognized_keys[\s\S]*gpus/);
    const gpu = { ...ENVIRONMENTS.dev.gpu, spot_vcpus: 16 };
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, gpu })).toThrow(/unrecognized_keys[\s\S]*spot_vcpus/);
  });

  it('refuse more machines than the budget, and too few for one training job', () => {
    const gpu = (spot_max_vcpus: number) => ({ ...ENVIRONMENTS.dev, gpu: { ...ENVIRONMENTS.dev.gpu, spot_max_vcpus } });
    expect(() => Settings.parse(gpu(65))).toThrow();
    expect(() => Settings.parse(gpu(15))).toThrow();
    expect(Settings.parse(gpu(64)).gpu.spot_max_vcpus).toBe(64);
  });

  it('take an R2 registry with an account and a bucket, and no other', () => {
    const registry = { kind: 'r2', account_id: '0'.repeat(32), bucket: 'models' };
    expect(Settings.parse({ ...ENVIRONMENTS.dev, registry }).registry).toEqual(registry);
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, registry: { ...registry, account_id: 'mine' } })).toThrow();
    expect(() => Settings.parse({ ...ENVIRONMENTS.dev, registry: { kind: 'gcs' } })).toThrow();
  });

  it('keep everything in prod and nothing of value in dev', () => {
    expect(ENVIRONMENTS.prod.retain).toBe(true);
    expect(ENVIRONMENTS.dev.retain).toBe(false);
    expect(ENVIRONMENTS.dev.schedule.enabled).toBe(false);
  });
});
