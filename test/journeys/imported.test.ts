// A published CLIP that was never trained here: imported by the command, served by the Worker and the image encoder.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ModelList, ReadyReport } from '../../contracts/src/api/models.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { model } from '../../trainer/control/cli/model.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { trainerPython } from '../support/python.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../..');
const PICTURE = join(ROOT, 'api/playground/samples/cat.jpg');
const TEXTS = ['a dog runs', "DON'T feed 27 cats, naïve 犬 👍🏽!", 'two dogs and a man . '.repeat(40)];

const LAYOUTS = ['clip', 'siglip', 'siglip2'] as const;
type Layout = (typeof LAYOUTS)[number];

let folder: string;
let server: LocalServer | undefined;
let libraries: Record<Layout, { texts: number[][]; image: number[] }>;
let python: string;

beforeAll(async () => {
  python = await trainerPython();
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'imported ')));
  const script = join(ROOT, 'test/support/clip_checkpoint.py');
  libraries = JSON.parse(execFileSync(python, [script, folder, PICTURE, ...TEXTS], { encoding: 'utf8' }));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const cosine = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
const get = async (path: string) => (await fetch(`${server?.url}${path}`)).json();
async function embed(input: unknown[]): Promise<number[][]> {
  const response = await fetch(`${server?.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
  return EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding as number[]);
}

describe.each(LAYOUTS)('a checkpoint of layout %s', (layout) => {
  let imported: { code: number; stdout: string };
  beforeAll(async () => {
    let stdout = '';
    const argv = ['import', layout, '--name', `tiny-${layout}`, '--registry', 'registry', '--licence', 'MIT', '--json'];
    const code = await model(argv, {
      root: ROOT,
      cwd: folder,
      env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
      stdout: { write: (text: string) => (stdout += text) },
      stderr: process.stderr,
    });
    imported = { code, stdout };
    await server?.stop();
    // As `MODEL_NAME=tiny-clip npm start` has it: the encoder reads it from its environment.
    vi.stubEnv(ENVARS.modelName, `tiny-${layout}`);
    const registry = join(folder, 'registry');
    server = await startLocalServer({ registry, name: `tiny-${layout}`, pollMs: 250, onEvent: () => {} });
  });

  test('the command publishes it with what was measured', () => {
    expect(imported.code).toBe(0);
    const { name, metrics } = JSON.parse(imported.stdout);
    expect(name).toBe(`tiny-${layout}`);
    expect(metrics['parity.image.worst']).toBeGreaterThan(0.9999);
    expect(metrics['parity.text.mean']).toBeGreaterThan(0.98);
  });

  test('the Worker serves it as its only tier, and reproduces its golden vectors', async () => {
    const listed = async () => ModelList.parse(await get('/v1/models')).data.map(({ id }) => id);
    await vi.waitFor(async () => expect(await listed()).toEqual([`tiny-${layout}`]), {
      timeout: 60_000,
      interval: 250,
    });
    const { golden } = ReadyReport.parse(await get('/health/ready'));
    expect(golden.map(({ tier }) => tier)).toEqual(['student', 'student', 'student']);
    expect(golden.every(({ cosine: found }) => found > 0.999)).toBe(true);
  });

  test("texts and images have the library's vectors", async () => {
    const image = `data:image/jpeg;base64,${readFileSync(PICTURE).toString('base64')}`;
    const vectors = await embed([...TEXTS, { image }]);
    const expected = [...libraries[layout].texts, libraries[layout].image];
    const cosines = vectors.map((vector, index) => cosine(vector, expected[index] ?? []));
    expect(Math.min(...cosines.slice(0, TEXTS.length))).toBeGreaterThan(0.99);
    expect(cosines.at(-1)).toBeGreaterThan(0.9999);
  });
});

test('a tier that it lacks is not there', async () => {
  const response = await fetch(`${server?.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: ['a dog'], model: 'tiny-siglip2-static' }),
  });
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({ error: { code: 'model_not_found' } });
});
