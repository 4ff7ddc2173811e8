// The two environments: their names, and what differs.
import { describe, expect, it } from 'vitest';
import { ENVIRONMENTS, settingsOf } from '../../infra/environments.ts';

describe('environments', () => {
  it('are found by the name of the environment', () => {
    expect(settingsOf('dev').name).toBe('dev');
    expect(settingsOf('prod').name).toBe('prod');
  });

  it('name the environments that there are when asked for another', () => {
    expect(() => settingsOf('staging')).toThrow('-c environment=staging: no such environment; there is dev and prod');
    expect(() => settingsOf('constructor')).toThrow('there is dev and prod');
    expect(() => settingsOf(undefined)).toThrow('there is dev and prod');
  });

  it('keep everything in prod and nothing of value in dev', () => {
    expect(ENVIRONMENTS.prod.retain).toBe(true);
    expect(ENVIRONMENTS.dev.retain).toBe(false);
    expect(ENVIRONMENTS.dev.schedule.enabled).toBe(false);
  });
});
