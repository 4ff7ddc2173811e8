// `cdk synth` as a process: offline, without credentials and without Docker, with the real bundles.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, STACKS } from '../support/synthesis.ts';

/** A network namespace of its own has no way out. Where the kernel allows none, the rest of the test holds all the same. */
const OFFLINE = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : [];
const SECONDS = 20;

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'edge-clip-synth-'));
  // Nothing but node, npx (which the bundling of functions calls) and the shell: whatever else this machine has, the command cannot find it.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  for (const name of ['bash', 'sh', 'env', 'unshare', 'npx']) {
    const found = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
    if (found !== '') symlinkSync(found, join(bin, name));
  }
  path = [join(ROOT, 'node_modules', '.bin'), bin].join(':');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Run {
  status: number | null;
  output: string;
  /** Processor time of the command and its children: what it costs, however busy this machine is meanwhile. */
  seconds: number;
  out: string;
}

function cdkSynth(...context: string[]): Run {
  const out = mkdtempSync(join(folder, 'out-'));
  const command = [
    'node_modules/.bin/cdk',
    'synth',
    '--quiet',
    '--output',
    out,
    ...context.flatMap((item) => ['-c', item]),
  ];
  const timed = `TIMEFORMAT='seconds %U %S'; time ${[...OFFLINE, ...command].join(' ')}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', timed], {
    cwd: ROOT,
    encoding: 'utf8',
    env: { PATH: path, HOME: folder, CI: 'true' },
  });
  const [, user, system] = /seconds ([\d.]+) ([\d.]+)/.exec(stderr) ?? [];
  return { status, output: `${stdout}${stderr}`, seconds: Number(user) + Number(system), out };
}

describe.each([
  { environment: 'dev', said: [] },
  { environment: 'prod', said: ['environment=prod'] },
])('cdk synth of $environment', ({ environment, said }) => {
  let run: Run;
  beforeAll(() => {
    run = cdkSynth(...said);
  });

  it('succeeds without network, credentials and docker', () => {
    const { stdout } = spawnSync('bash', ['-c', 'command -v docker || command -v aws'], { env: { PATH: path } });
    expect(stdout.toString()).toBe('');
    expect(run.output).toContain('Successfully synthesized');
    expect(run.status).toBe(0);
  });

  it(`takes less than ${SECONDS} s of processor time`, () => {
    expect(run.seconds).toBeGreaterThan(0);
    expect(run.seconds).toBeLessThan(SECONDS);
  });

  it('leaves a template a stack, for any account and region', () => {
    const { artifacts } = JSON.parse(readFileSync(join(run.out, 'manifest.json'), 'utf8'));
    const stacks = Object.entries<{ type: string; environment?: string }>(artifacts)
      .filter(([, { type }]) => type === 'aws:cloudformation:stack')
      .map(([name, { environment: place }]) => `${name} ${place}`);
    expect(stacks.toSorted()).toEqual(
      STACKS.map((name) => `edge-clip-${environment}-${name} aws://unknown-account/unknown-region`).toSorted(),
    );
    for (const name of STACKS)
      expect(existsSync(join(run.out, `edge-clip-${environment}-${name}.template.json`))).toBe(true);
  });

  it('looks nothing up in an account', () => {
    expect(JSON.parse(readFileSync(join(run.out, 'manifest.json'), 'utf8')).missing).toBeUndefined();
    expect(existsSync(join(ROOT, 'cdk.context.json'))).toBe(false);
  });

  it('bundles the three functions as modules with a handler and without anything to install', () => {
    const manifest = JSON.parse(readFileSync(join(run.out, `edge-clip-${environment}-training.assets.json`), 'utf8'));
    const folders = Object.values<{ source: { path: string; packaging: string } }>(manifest.files)
      .filter(({ source }) => source.packaging === 'zip')
      .map(({ source }) => join(run.out, source.path));
    expect(folders).toHaveLength(3);
    const text = (bundle: string) => readFileSync(join(bundle, 'index.mjs'), 'utf8');
    for (const bundle of folders) expect(text(bundle)).toMatch(/export \{\s+handler\s+\};/);
    // Of those that read models, the text engine's module beside it: a bundle holds no WebAssembly.
    expect(folders.map((bundle) => readdirSync(bundle).toSorted().join()).toSorted()).toEqual([
      'encoder.relaxed.wasm,index.mjs',
      'encoder.relaxed.wasm,index.mjs',
      'index.mjs',
    ]);
  });
});

it('cdk synth of an environment that does not exist names those that do', () => {
  const { status, output } = cdkSynth('environment=staging');
  expect(status).not.toBe(0);
  expect(output).toContain('no such environment; there is dev and prod');
});
