// `npm run model -- export` on a registry that was published to: the folder that another library opens, and one-call inference.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { readCandidate } from '../../../../../api/registry/candidate.ts';
import { publishModel } from '../../../../../api/registry/publish.ts';
import { openStore } from '../../../../../api/registry/stores/open.ts';
import type { ModelManifest } from '../../../../../contracts/src/model/manifest.ts';
import { evaluate } from '../../../../../trainer/control/cli/evaluate.ts';
import { model } from '../../../../../trainer/control/cli/model.ts';
import { captured } from '../../../../support/captured.ts';
import { writeRuns } from '../../../../support/exported-model.ts';
import { warmPython } from '../../../../support/python.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../../..');

let folder: string;
let python: string;
let manifest: ModelManifest;
beforeAll(async () => {
  python = await warmPython();
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'export ')));
  const made = join(folder, 'tiered');
  execFileSync(python, [join(ROOT, 'test/support/tiered_model.py'), made]);
  manifest = JSON.parse(readFileSync(join(made, 'manifest.json'), 'utf8'));
  const files = new Map(readdirSync(made).map((name) => [name, readFileSync(join(made, name))]));
  const runs = await writeRuns(openStore(`file://${join(folder, 'store')}`), 'runs', files);
  const digest = `sha256:${'0'.repeat(64)}`;
  const candidate = await readCandidate(openStore(runs.exported), openStore(runs.evaluated), digest);
  const verdict = { decision: 'publish' as const, reasons: ['a test'], incumbent: null };
  await publishModel(openStore(`file://${join(folder, 'registry')}`), candidate, verdict);
  rmSync(made, { recursive: true });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) =>
  captured(model, ['export', ...args, '--registry', 'registry'], {
    root: ROOT,
    cwd: folder,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
  });

it('writes the published model for another library, and says where its weights come from', async () => {
  const { code, stdout } = await run('tiered', '--format', 'safetensors', '--tier', 'tiny,static', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    to: join(folder, 'tiered.safetensors'),
    format: 'safetensors',
    written: ['model.safetensors', 'config.json', 'tokenizer.json'],
    weights: expect.stringContaining('int8 times the scale'),
  });
  const files = readdirSync(join(folder, 'tiered.safetensors')).sort();
  expect(files).toEqual(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json']);
});

it('ends with what a format cannot express, and leaves nothing', async () => {
  const { code, stderr } = await run('tiered', '--format', 'open_clip', '--to', 'other');
  expect(code).toBe(2);
  expect(stderr).toContain('open_clip cannot build the text tower of tiered');
  expect(existsSync(join(folder, 'other'))).toBe(false);
});

it('refuses a folder of runs that holds none of the model, whose weights would be others than were asked for', async () => {
  const refused = async (runs: string) => (await run('tiered', '--format', 'onnx', '--runs', runs)).stderr;
  expect(await refused('nowhere')).toBe(`--runs: there is no ${join(folder, 'nowhere')}\n`);
  expect(await refused('.')).toContain('--runs .: no finished run of distill is there that tiered was exported from');
});

it('finds the runs of a model where they were moved to, and writes beside no hidden name', async () => {
  const moved = join(folder, 'moved', 'mine');
  const distill = join(moved, 'distill-0123456789ab');
  const exported = join(moved, 'export-0123456789ab');
  execFileSync(python, [join(ROOT, 'test/support/tiered_model.py'), exported, distill]);
  const inputs = { distill: 's3://bucket/runs/mine/distill-0123456789ab' };
  writeFileSync(join(exported, 'job.json'), JSON.stringify({ inputs }));
  const { code, stdout } = await run(`${exported}/`, '--format', 'safetensors', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    to: join(folder, 'export-0123456789ab.safetensors'),
    weights: expect.stringContaining('float32 weights of the run of `distill`'),
  });
});

it('opens no folder whose files are others than its manifest names, and says which', async () => {
  const damaged = join(folder, 'damaged');
  execFileSync(python, [join(ROOT, 'test/support/tiered_model.py'), damaged]);
  const context = { root: ROOT, cwd: folder, env: { PATH: process.env.PATH, TRAINER_PYTHON: python } };
  const commands = [
    () => run('damaged', '--format', 'onnx', '--json'),
    () => captured(model, ['publish', 'damaged', '--registry', 'empty', '--force', 'a try', '--json'], context),
    () => captured(evaluate, ['damaged', '--only', 'stsb', '--json'], context),
  ];
  const answers = async () => {
    const all = await Promise.all(commands.map((each) => each()));
    return all.map(({ code, stdout }) => `${code} ${JSON.parse(stdout).refused}`);
  };
  const table = join(damaged, 'text.table.bin');
  const bytes = readFileSync(table);
  writeFileSync(table, bytes.fill(0, 100, 200));
  const altered = `2 file://${damaged}/text.table.bin is not the file that its descriptor names`;
  for (const answer of await answers()) expect(answer).toContain(altered);
  rmSync(table);
  for (const answer of await answers()) expect(answer).toContain('text.table.bin is missing');
  const file = join(damaged, 'manifest.json');
  writeFileSync(file, readFileSync(file).subarray(0, 300));
  for (const answer of await answers()) expect(answer).toContain(`2 ${file} is not JSON`);
  expect(existsSync(join(folder, 'damaged.onnx'))).toBe(false);
});

it('is not held up by a run that is half written beside the one it looks for', async () => {
  const other = join(folder, 'at-work', 'export-ba9876543210');
  mkdirSync(other, { recursive: true });
  for (const name of ['manifest.json', 'job.json']) writeFileSync(join(other, name), '{"name": ');
  const { stderr } = await run('tiered', '--format', 'onnx', '--runs', 'at-work');
  expect(stderr).toContain('--runs at-work: no finished run of distill is there that tiered was exported from');
});

it('says as JSON, too, what the disk forbids', async () => {
  writeFileSync(join(folder, 'a file'), '');
  const { code, stdout } = await run('tiered', '--format', 'onnx', '--to', 'a file/out', '--json');
  expect(JSON.parse(stdout)).toEqual({ failed: expect.stringContaining('a file is where a folder is needed') });
  expect(code).toBe(1);
});

it('leaves nothing where it is interrupted while it waits for a registry', async () => {
  const scratch = join(folder, 'tmp');
  mkdirSync(scratch);
  const silent = createServer(() => {}).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const command = [join(ROOT, 'trainer/control/cli/model.ts'), 'export', 'tiered', '--format', 'onnx'];
  const child = spawn(process.execPath, [...command, '--registry', 's3://models'], {
    env: {
      PATH: process.env.PATH,
      INIT_CWD: folder,
      TMPDIR: scratch,
      MODEL_REGISTRY_ENDPOINT: `http://127.0.0.1:${port}`,
      AWS_ACCESS_KEY_ID: 'testing',
      AWS_SECRET_ACCESS_KEY: 'testing',
    },
  });
  await once(silent, 'request');
  expect(readdirSync(scratch)).toEqual([expect.stringMatching(/^export-/)]);
  child.kill('SIGINT');
  expect(await once(child, 'exit')).toEqual([75, null]);
  expect(readdirSync(scratch)).toEqual([]);
  silent.closeAllConnections();
  silent.close();
});

it('names the models that there are', async () => {
  const { code, stderr } = await run('tired', '--format', 'onnx').catch((error: Error) => ({
    code: 2,
    stderr: error.message,
  }));
  expect(code).toBe(2);
  expect(stderr).toContain('there is tiered, edge-clip-small');
});

it('gives the same registry to one-call inference, which reproduces the published vectors', () => {
  const code =
    'import json, sys; from edge_clip import load; print(json.dumps(load("tiered").embed([sys.argv[1]], tier="tiny").texts[0].tolist()))';
  const golden = manifest.golden.find(({ tier }) => tier === 'tiny');
  const stdout = execFileSync(python, ['-c', code, golden?.text ?? ''], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      PYTHONPATH: [join(ROOT, 'trainer'), join(ROOT, 'contracts/python')].join(delimiter),
      MODEL_REGISTRY: `file://${join(folder, 'registry')}`,
      XDG_CACHE_HOME: join(folder, 'cache'),
    },
  });
  const vector: number[] = JSON.parse(stdout);
  const cosine = vector.reduce((sum, value, index) => sum + value * (golden?.embedding[index] ?? 0), 0);
  expect(cosine).toBeGreaterThan(0.99);
});

it('measures a published model by its name', async () => {
  mkdirSync(join(folder, 'data/text'), { recursive: true });
  const rows = [5, 1].map((score) => `${JSON.stringify({ a: 'a dog runs', b: `a dog ${score}`, score })}\n`);
  writeFileSync(join(folder, 'data/text/stsb.dev.jsonl.gz'), gzipSync(rows.join('')));
  let [stdout, stderr] = ['', ''];
  const code = await evaluate(['tiered', '--registry', 'registry', '--only', 'stsb', '--json', '--cache', 'vectors'], {
    root: ROOT,
    cwd: folder,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python, CLIP_DATA: 'data', TMPDIR: folder },
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  expect(stderr).not.toContain('no model');
  expect(code).toBe(0);
  const measured = JSON.parse(stdout);
  expect(measured.model).toBe(`${manifest.name} ${manifest.version}`);
  expect(Object.keys(measured.sets.stsb).length).toBeGreaterThan(1);
});
