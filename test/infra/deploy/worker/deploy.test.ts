// The Worker of both environments as wrangler would send it: its size against the limit, and the same bindings everywhere.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { unstable_readConfig } from 'wrangler';
import { programsOf } from '../../../../infra/deploy/programs.ts';
import { secretsIn, sizeOfWorker, WORKER_LIMIT_KIB } from '../../../../infra/deploy/worker/deploy.ts';

vi.setConfig({ testTimeout: 300_000 });

const ROOT = join(import.meta.dirname, '../../../..');
const ENVIRONMENTS = ['dev', 'prod'];
const folder = mkdtempSync(join(tmpdir(), 'worker-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('is bundled by wrangler without an account, and leaves an eighth of what a Worker may have', async () => {
  const run = programsOf({
    root: ROOT,
    env: process.env,
    log: join(folder, 'programs.log'),
    onLine: () => {},
    stop: new AbortController().signal,
  });
  for (const environment of ENVIRONMENTS) {
    const { total_kib, gzip_kib } = await sizeOfWorker(environment, run, join(folder, environment));
    console.log(`${environment}: ${total_kib} KiB, ${gzip_kib} KiB compressed`);
    expect(gzip_kib).toBeLessThan(total_kib);
    expect(total_kib).toBeGreaterThan(1024);
    expect(total_kib).toBeLessThan((WORKER_LIMIT_KIB * 7) / 8);
  }
});

interface WranglerConfig {
  name?: string;
  r2_buckets: { binding: string; bucket_name?: string }[];
  kv_namespaces: { binding: string }[];
  durable_objects: { bindings: object[] };
  ratelimits: { name: string; namespace_id: string; simple: object }[];
  analytics_engine_datasets: { binding: string; dataset?: string }[];
  vars: object;
}

it('has in each environment the bindings and variables of the configuration above, with names of its own', () => {
  const config = join(ROOT, 'wrangler.toml');
  const read = (env?: string): WranglerConfig => unstable_readConfig({ config, env }, { hideWarnings: true });
  const top = read();
  const found = ENVIRONMENTS.map(read);
  const bindings = (of: WranglerConfig) => ({
    r2: of.r2_buckets.map(({ binding }) => binding),
    kv: of.kv_namespaces.map(({ binding }) => binding),
    objects: of.durable_objects.bindings,
    limits: of.ratelimits.map(({ name, simple }) => [name, simple]),
    points: of.analytics_engine_datasets.map(({ binding }) => binding),
    vars: of.vars,
  });
  for (const each of found) expect(bindings(each)).toEqual(bindings(top));
  expect(found.map(({ name }) => name)).toEqual(['edge-clip-dev', 'edge-clip-prod']);
  // Nothing of one environment is reachable from another one.
  const own = [top, ...found].map((each) => [
    each.r2_buckets.map(({ bucket_name }) => bucket_name),
    each.ratelimits.map(({ namespace_id }) => namespace_id),
    each.analytics_engine_datasets.map(({ dataset }) => dataset),
  ]);
  for (const names of [0, 1, 2].map((at) => own.map((row) => String(row[at])))) expect(new Set(names).size).toBe(3);
});

it('is given both keys or none', () => {
  const keys = { WORKER_AWS_ACCESS_KEY_ID: 'AKIA', WORKER_AWS_SECRET_ACCESS_KEY: 'secret' };
  expect(secretsIn(keys)).toEqual({ AWS_ACCESS_KEY_ID: 'AKIA', AWS_SECRET_ACCESS_KEY: 'secret' });
  // The operator's own keys are never taken for the Worker's.
  expect(secretsIn({ AWS_ACCESS_KEY_ID: 'mine', AWS_SECRET_ACCESS_KEY: 'mine' })).toEqual({});
  expect(() => secretsIn({ WORKER_AWS_ACCESS_KEY_ID: 'AKIA' })).toThrow('go together');
});
