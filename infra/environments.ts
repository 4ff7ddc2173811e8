// Settings of the two environments. Whatever is not listed here is the same in both.
import { Settings } from './base/settings.ts';

export const ENVIRONMENTS = {
  dev: {
    name: 'dev',
    network: 'public',
    retain: false,
    log_days: 14,
    noncurrent_days: 7,
    images_kept: 5,
    registry: { kind: 's3' },
    gpu: { spot_max_vcpus: 16, on_demand_max_vcpus: 16, root_gib: 200 },
    several_gpus: null,
    h100: null,
    nodes: null,
    cpu: { spot_max_vcpus: 8, on_demand_max_vcpus: 8 },
    schedule: {
      enabled: false,
      cron: 'cron(0 2 ? * SUN *)',
      timezone: 'Etc/UTC',
      flexible_minutes: 60,
      recipes: ['smoke'],
    },
    encoder: { reserved_concurrency: null, model_name: null },
  },
  prod: {
    name: 'prod',
    network: 'nat',
    retain: true,
    log_days: 365,
    noncurrent_days: 30,
    images_kept: 20,
    registry: { kind: 's3' },
    gpu: { spot_max_vcpus: 32, on_demand_max_vcpus: 16, root_gib: 200 },
    several_gpus: null,
    h100: null,
    nodes: null,
    cpu: { spot_max_vcpus: 16, on_demand_max_vcpus: 8 },
    schedule: {
      enabled: true,
      cron: 'cron(0 2 ? * SUN *)',
      timezone: 'Etc/UTC',
      flexible_minutes: 60,
      recipes: ['embedded'],
    },
    encoder: { reserved_concurrency: 10, model_name: null },
  },
} as const satisfies Record<string, Settings>;

/** The environment named by `-c environment=...`. */
export function settingsOf(name: unknown): Settings {
  const names = Object.keys(ENVIRONMENTS);
  const found = Object.entries(ENVIRONMENTS).find(([key]) => key === name);
  if (found === undefined)
    throw new RangeError(`-c environment=${String(name)}: no such environment; there is ${names.join(' and ')}`);
  return Settings.parse(found[1]);
}
