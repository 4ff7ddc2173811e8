// The Worker of both environments as wrangler would send it: its size against the limit, and the same bindings everywhere.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { unstable_readConfig } from 'wrangler';
import { writeStaticFiles } from '../../../../api/dev/assets/write.ts';
import { programsOf } from '../../../../infra/deploy/programs.ts';
import { secretsIn, sizeOfWorker, WORKER_LIMIT_KIB } from '../../../../infra/deploy/worker/deploy.ts';

vi.setConfig({ testTimeout: 300_000 });

const ROOT = join(import.meta.dirname, '../../../..');
const ENVIRONMENTS = ['dev', 'prod'];
const MIB = 1024 * 1024;
/** Of the Worker's script, and of onnxruntime-web in it. */
const [BUDGET_KIB, ONNXRUNTIME_KIB] = [1024 + 256, 15 * 1024];
/** Of the static files together, and what the platform takes as one of them. */
const [ASSETS_MIB, ASSET_MIB] = [40, 25];
const folder = mkdtempSync(join(tmpdir(), 'worker-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = programsOf({
  root: ROOT,
  env: process.env,
  log: join(folder, 'programs.log'),
  onLine: () => {},
  stop: new AbortController().signal,
});

it('is bundled by wrangler without an account, within its budget, and with onnxruntime-web too', async () => {
  const builds = [
    { environment: 'dev', most: BUDGET_KIB },
    { environment: 'prod', most: BUDGET_KIB },
    { environment: 'prod', most: BUDGET_KIB + ONNXRUNTIME_KIB, entry: 'api/worker/with-onnxruntime.ts' },
  ];
  for (const [number, { environment, most, ...build }] of builds.entries()) {
    const size = await sizeOfWorker(environment, run, { folder: join(folder, `${number}`), ...build });
    console.log(`${environment} ${build.entry ?? ''}: ${size.total_kib} KiB, ${size.gzip_kib} KiB compressed`);
    expect(size.gzip_kib).toBeLessThan(size.total_kib);
    expect(size.total_kib).toBeGreaterThan(512);
    expect(size.total_kib).toBeLessThan(most);
    expect(most).toBeLessThan(WORKER_LIMIT_KIB);
  }
});

/** CPU that the platform allows a script before its first request, and how often a machine with other work is asked. */
const [STARTUP_MS, TRIES] = [1000, 3];

it('starts within half of the CPU that the platform allows, by the profile that wrangler takes', async () => {
  const file = join(folder, 'startup.cpuprofile');
  const active: number[] = [];
  while (active.length < TRIES && Math.min(...active) >= STARTUP_MS / 2) {
    await run('wrangler', ['check', 'startup', '--env', 'prod', '--outfile', file]);
    active.push(activeMs(JSON.parse(readFileSync(file, 'utf8'))));
  }
  console.log(`startup: ${active.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  expect(Math.min(...active)).toBeGreaterThan(0);
  expect(Math.min(...active)).toBeLessThan(STARTUP_MS / 2);
});

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string } }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

function activeMs({ nodes, samples, timeDeltas }: CpuProfile): number {
  const idle = new Set(nodes.flatMap(({ id, callFrame }) => (callFrame.functionName === '(idle)' ? id : [])));
  const active = timeDeltas.filter((_, at) => !idle.has(samples[at] ?? Number.NaN));
  return active.reduce((sum, delta) => sum + delta, 0) / 1000;
}

it('has static files that the platform takes: the page, and every file of the embedded model that its engine reads', async () => {
  const assets = join(folder, 'assets');
  const model = join(ROOT, 'api/model');
  const { bytes, largest } = await writeStaticFiles(assets, model);
  console.log(`static files: ${(bytes / MIB).toFixed(1)} MiB, the largest ${(largest / MIB).toFixed(1)} MiB`);
  expect(bytes).toBeLessThan(ASSETS_MIB * MIB);
  expect(largest).toBeLessThanOrEqual(ASSET_MIB * MIB);
  expect(existsSync(join(assets, 'index.html'))).toBe(true);
  const { text, tiny, static: fast } = JSON.parse(readFileSync(join(model, 'manifest.json'), 'utf8'));
  const packed = JSON.parse(readFileSync(join(assets, 'artefacts/packed.json'), 'utf8'));
  const read = [text.tokenizer, text.table, tiny.table, fast, packed.student.packed, packed.tiny.packed, packed.index];
  const named = [...JSON.stringify(read).matchAll(/"digest":"sha256:([0-9a-f]{64})"/g)];
  expect(named).toHaveLength(8);
  for (const [, hex = ''] of named) {
    const hash = createHash('sha256');
    for (const file of wholeOrParts(join(assets, 'artefacts/sha256', hex))) hash.update(readFileSync(file));
    expect(hash.digest('hex')).toBe(hex);
  }
});

function wholeOrParts(file: string): string[] {
  if (existsSync(file)) return [file];
  const parts: string[] = [];
  while (existsSync(`${file}.${parts.length}`)) parts.push(`${file}.${parts.length}`);
  return parts;
}

interface WranglerConfig {
  name?: string;
  r2_buckets: { binding: string; bucket_name?: string }[];
  kv_namespaces: { binding: string }[];
  durable_objects: { bindings: object[] };
  ratelimits: { name: string; namespace_id: string; simple: object }[];
  analytics_engine_datasets: { binding: string; dataset?: string }[];
  version_metadata?: { binding: string } | undefined;
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
    metadata: of.version_metadata,
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
