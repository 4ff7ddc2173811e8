// The environments: their files, their names, and what differs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { environmentNames, parseSettings, settingsOf } from '../../infra/environments.ts';
import { generated } from '../../infra/reference.ts';
import { synthesis } from '../support/synthesis.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'infra', 'settings');

describe('environments', () => {
  it('are the files of the settings folder, found by name', () => {
    expect(environmentNames()).toEqual(['dev', 'prod']);
    expect(settingsOf('dev').name).toBe('dev');
    expect(settingsOf('prod').name).toBe('prod');
  });

  it('are named when another one is asked for', () => {
    for (const name of ['staging', 'constructor', 'schema', '../settings/dev', undefined])
      expect(() => settingsOf(name)).toThrow(
        `-c environment=${String(name)}: no such environment; there is dev and prod`,
      );
  });

  it('keep everything in prod and nothing of value in dev', () => {
    expect(settingsOf('prod').retain).toBe(true);
    expect(settingsOf('dev').retain).toBe(false);
    expect(settingsOf('dev').schedule.enabled).toBe(false);
  });

  it('publish to R2, to the very bucket that wrangler binds to the Worker', () => {
    const wrangler = readFileSync(join(FOLDER, '..', '..', 'wrangler.toml'), 'utf8');
    for (const environment of ['dev', 'prod'] as const) {
      expect(settingsOf(environment).registry).toBe('r2');
      const { RegistryBucket } = synthesis(environment).templates.data.Parameters;
      const [, bucket] =
        new RegExp(`\\[\\[env\\.${environment}\\.r2_buckets\\]\\][^[]*bucket_name = "(.*)"`).exec(wrangler) ?? [];
      expect(RegistryBucket?.Default).toBe(bucket);
    }
  });
});

describe('a settings file', () => {
  const text = readFileSync(join(FOLDER, 'dev.json'), 'utf8');
  const changed = (change: (settings: Record<string, unknown>) => void) => {
    const settings = JSON.parse(text);
    change(settings);
    return () => parseSettings('dev', JSON.stringify(settings));
  };

  it('may not hold a key that nobody reads: it is named, with the file', () => {
    expect(changed((settings) => Object.assign(settings, { gpus: 8 }))).toThrow(
      /infra\/settings\/dev\.json:\n.*Unrecognized key: "gpus"/,
    );
    const inner = changed(({ gpu }) => Object.assign(gpu as object, { spot_vcpus: 16 }));
    expect(inner).toThrow(/Unrecognized key: "spot_vcpus"\n.*at gpu/);
  });

  it('may not leave a setting out', () => {
    expect(changed((settings) => Reflect.deleteProperty(settings, 'zones'))).toThrow(/at zones/);
  });

  it('holds no id and no address: those are parameters', () => {
    for (const name of environmentNames())
      expect(readFileSync(join(FOLDER, `${name}.json`), 'utf8')).not.toMatch(/[0-9a-f]{32}|\b\d{12}\b|@/);
  });
});

describe('the reference of settings', () => {
  it('has a row for every setting that a file states, with its value', () => {
    const reference = generated().get('infra/settings/README.md') ?? '';
    const paths = (value: unknown, prefix = ''): string[] =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? []
        : Object.entries(value).flatMap(([key, inner]) => [`${prefix}${key}`, ...paths(inner, `${prefix}${key}.`)]);
    const { $schema: _, ...settings } = JSON.parse(readFileSync(join(FOLDER, 'prod.json'), 'utf8'));
    const stated = paths(settings);
    expect(stated.length).toBeGreaterThan(20);
    for (const path of stated) expect(reference).toContain(`| \`${path}\` |`);
    expect(reference).toMatch(/\| `images_kept` \| 2 or more \| `5` \| `20` \|/);
  });
});
