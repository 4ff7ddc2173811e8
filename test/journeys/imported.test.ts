// A published CLIP that was never trained here: imported by the command, served by the Worker and the image encoder.
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
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readIncumbent } from '../../api/registry/history.ts';
import { toFileUri } from '../../api/registry/stores/file-uri.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ModelList, ReadyReport } from '../../contracts/src/api/models.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { model } from '../../trainer/control/cli/model.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { warmPython } from '../support/python.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../..');
const PICTURE = join(ROOT, 'api/playground/samples/cat.jpg');
/** Like those that the students below learn from. */
const CAPTION = 'a red dog in the snow';
const TEXTS = [CAPTION, 'a dog runs', "DON'T feed 27 cats, naïve 犬 👍🏽!", 'two dogs and a man . '.repeat(40)];

const LAYOUTS = ['clip', 'siglip', 'siglip2', 'open-clip', 'open-clip-siglip2', 'eva-clip', 'mobileclip'] as const;
type Layout = (typeof LAYOUTS)[number];
/** A format in which a library opens the whole model. */
const OUT: Record<Layout, 'open_clip' | 'hf'> = {
  clip: 'open_clip',
  siglip: 'hf',
  siglip2: 'hf',
  'open-clip': 'hf',
  'open-clip-siglip2': 'open_clip',
  'eva-clip': 'open_clip',
  mobileclip: 'open_clip',
};

let folder: string;
let server: LocalServer | undefined;
let libraries: Record<Layout, { texts: number[][]; image: number[] }>;
let python: string;
let library: Awaited<ReturnType<typeof startLibrary>>;

/** The process in which libraries open what was exported. */
async function startLibrary() {
  const script = join(ROOT, 'test/support/opened_export.py');
  const child = spawn(python, [script, PICTURE, ...TEXTS], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async open(format: string, out: string, manifest: string): Promise<{ texts: number[][]; images: number[][] }> {
      child.stdin.write(`${JSON.stringify({ format, folder: out, manifest })}\n`);
      const { value, done } = await answers.next();
      if (done) throw new Error(`${out} was not opened: what Python says is above`);
      return JSON.parse(value);
    },
    async stop() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}

beforeAll(async () => {
  python = await warmPython();
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'imported ')));
  const script = join(ROOT, 'test/support/clip_checkpoint.py');
  libraries = JSON.parse(execFileSync(python, [script, folder, PICTURE, ...TEXTS], { encoding: 'utf8' }));
  library = await startLibrary();
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await Promise.all([server?.stop(), library?.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

const cosine = (a: number[], b: number[]) => a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
/** The vectors were made by onnxruntime, whose activations are rounded otherwise: one text of fresh weights may differ by more. */
function reproduces(golden: { cosine: number }[]): void {
  const cosines = golden.map((each) => each.cosine);
  expect(Math.min(...cosines)).toBeGreaterThan(0.99);
  expect(cosines.reduce((sum, each) => sum + each, 0) / cosines.length).toBeGreaterThan(0.999);
}
const get = async (path: string) => (await fetch(`${server?.url}${path}`)).json();
async function embed(input: unknown[]): Promise<number[][]> {
  const response = await fetch(`${server?.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
  return EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding as number[]);
}

async function command(...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const code = await model([...argv, '--registry', 'registry', '--json'], {
    root: ROOT,
    cwd: folder,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}
const importAs = (name: string, ...more: string[]) => command('import', ...more, '--name', name, '--licence', 'MIT');

async function serve(name: string): Promise<void> {
  await server?.stop();
  // As `MODEL_NAME=tiny-clip npm start` has it: the encoder reads it from its environment.
  vi.stubEnv(ENVARS.modelName, name);
  const registry = join(folder, 'registry');
  server = await startLocalServer({ registry, name, pollMs: 250, onEvent: () => {} });
}

async function servesTiers(ids: string[]): Promise<void> {
  const listed = async () => ModelList.parse(await get('/v1/models')).data.map(({ id }) => id);
  await vi.waitFor(async () => expect(await listed()).toEqual(ids), { timeout: 60_000, interval: 250 });
}

test("takes its name from Hugging Face's cache, and no name away from another model unless it is told", async () => {
  const cached = join(folder, 'models--org--tiny-hub', 'snapshots', 'f'.repeat(40));
  mkdirSync(dirname(cached), { recursive: true });
  symlinkSync(join(folder, 'clip'), cached);
  const first = await command('import', cached);
  expect(first).toMatchObject({ code: 0 });
  const { name } = JSON.parse(first.stdout);
  expect(name).toBe('tiny-hub');
  const taken = await importAs(name, 'mobileclip');
  expect(taken.code).toBe(2);
  expect(JSON.parse(taken.stdout).refused).toContain(
    'tiny-hub is the name of another model that is current in file://',
  );
  expect(await importAs(name, 'mobileclip', '--replace')).toMatchObject({ code: 0 });
});

describe.each(LAYOUTS)('a checkpoint of layout %s', (layout) => {
  let imported: { code: number; stdout: string };
  beforeAll(async () => {
    imported = await importAs(`tiny-${layout}`, layout);
    await serve(`tiny-${layout}`);
  });

  test('the command publishes it with what was measured', () => {
    expect(imported.code).toBe(0);
    const { name, metrics } = JSON.parse(imported.stdout);
    expect(name).toBe(`tiny-${layout}`);
    expect(metrics['parity.image.worst']).toBeGreaterThan(0.9999);
    expect(metrics['parity.text.mean']).toBeGreaterThan(0.98);
  });

  test('the Worker serves it as its only tier, and reproduces its golden vectors', async () => {
    await servesTiers([`tiny-${layout}`]);
    const { golden } = ReadyReport.parse(await get('/health/ready'));
    expect(golden.map(({ tier }) => tier)).toEqual(['student', 'student', 'student']);
    reproduces(golden);
  });

  test("texts and images have the library's vectors", async () => {
    const image = `data:image/jpeg;base64,${readFileSync(PICTURE).toString('base64')}`;
    const vectors = await embed([...TEXTS, { image }]);
    const expected = [...libraries[layout].texts, libraries[layout].image];
    const cosines = vectors.map((vector, index) => cosine(vector, expected[index] ?? []));
    expect(Math.min(...cosines.slice(0, TEXTS.length))).toBeGreaterThan(0.99);
    expect(cosines.at(-1)).toBeGreaterThan(0.9999);
  });

  test('exported, a library that never saw this service opens it and gives the served vectors', async () => {
    const to = `out-${layout}`;
    const { code } = await command('export', `tiny-${layout}`, '--format', OUT[layout], '--to', to);
    expect(code).toBe(0);
    const image = `data:image/jpeg;base64,${readFileSync(PICTURE).toString('base64')}`;
    const served = await embed([...TEXTS, { image }]);
    const opened = await library.open(OUT[layout], to, await manifestOf(`tiny-${layout}`));
    const apart = (served.at(-1) ?? []).map((value, index) => Math.abs(value - (opened.images[0]?.[index] ?? 0)));
    expect(Math.max(...apart)).toBeLessThan(1e-4);
    // Servers round activations of the text tower, a library's layers do not.
    const cosines = TEXTS.map((_, index) => cosine(served[index] ?? [], opened.texts[index] ?? []));
    expect(Math.min(...cosines)).toBeGreaterThan(0.99);
  });
});

/** Path of a published model's manifest. */
async function manifestOf(name: string): Promise<string> {
  const registry = openStore(toFileUri(join(folder, 'registry')));
  const { digest } = (await readIncumbent(registry, name)) ?? {};
  return join(folder, 'registry/manifests/sha256', `${digest?.split(':')[1]}.json`);
}

test('a tier that it lacks is not there', async () => {
  const response = await fetch(`${server?.url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: ['a dog'], model: 'tiny-mobileclip-static' }),
  });
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({ error: { code: 'model_not_found' } });
});

describe('text students in place of a text tower', () => {
  const THINGS = ['dog', 'cat', 'ball', 'car', 'tree', 'boat'].flatMap((thing) =>
    ['red', 'green', 'white'].flatMap((colour) =>
      ['in the snow', 'on a beach', 'at night'].map((place) => `a ${colour} ${thing} ${place}`),
    ),
  );
  const schedule = { steps: 6, warmup_steps: 1, lr: 0.002, weight_decay: 0, grad_clip: 1, decay: 'cosine' };
  const student = {
    tier: 'student',
    layers: 1,
    width: 32,
    heads: 2,
    table_width: 32,
    initial_weights: 'scratch',
    static_weight: 1,
    schedule,
  };
  const small = {
    extends: 'imitate',
    name: 'small',
    description: 'Students that are trained in seconds.',
    imitate: { student: { vocabulary_size: 250, tiers: [student], static: { width: 16, batch_size: 32, schedule } } },
  };
  const args = ['clip', '--distil', '--captions', 'captions.txt', '--recipe', 'small.json', '--runs', 'runs'];
  let imported: Awaited<ReturnType<typeof command>>;
  beforeAll(async () => {
    writeFileSync(join(folder, 'captions.txt'), `${THINGS.join('\n')}\n`);
    writeFileSync(join(folder, 'small.json'), JSON.stringify(small));
    imported = await importAs('tiny-students', ...args);
    await serve('tiny-students');
  });
  test('the command trains them, says how near they came, and publishes', () => {
    expect(imported.code).toBe(0);
    expect(imported.stderr).toContain('"event":"progress"');
    const { name, metrics } = JSON.parse(imported.stdout);
    expect(name).toBe('tiny-students');
    expect(metrics['parity.image.worst']).toBeGreaterThan(0.9999);
    // Fresh weights put all texts into a narrow cone: what counts is that a caption finds its own vector among others.
    expect(metrics['student.dev_top1']).toBeGreaterThan(0.5);
    expect(metrics['student.dev_cosine']).toBeGreaterThan(0.95);
  });

  test('the Worker serves both tiers, with images at the vectors of the library', async () => {
    await servesTiers(['tiny-students', 'tiny-students-static']);
    const { golden } = ReadyReport.parse(await get('/health/ready'));
    reproduces(golden);
    const image = `data:image/jpeg;base64,${readFileSync(PICTURE).toString('base64')}`;
    const [text = [], picture = []] = await embed([CAPTION, { image }]);
    expect(cosine(picture, libraries.clip.image)).toBeGreaterThan(0.9999);
    expect(cosine(text, libraries.clip.texts[0] ?? [])).toBeGreaterThan(0.8);
  });

  test('a second command trains nothing', async () => {
    const again = await importAs('tiny-students', ...args, '--model-version', '2');
    expect(again.code).toBe(0);
    expect(again.stdout).not.toContain('"event":"running"');
    const written = join(folder, 'runs/tiny-students-students/recipe.json');
    expect(existsSync(written)).toBe(true);
    const { imitate } = JSON.parse(readFileSync(written, 'utf8'));
    expect(Object.keys(imitate)).toEqual(['checkpoint', 'captions']);
  });

  describe("of LLM2CLIP's, by its language model", () => {
    let picture: number[];
    let taught: { code: number; stdout: string };
    const distil = ['llm2clip/released', ...args.slice(1), '--language-model', 'llm2clip/language-model'];
    const theirs = ['--add-bos', '--template', '<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>'];
    const computed = () => readdirSync(join(folder, 'runs/language-features'));
    beforeAll(async () => {
      const script = join(ROOT, 'test/support/llm2clip_checkpoint.py');
      picture = JSON.parse(execFileSync(python, [script, join(folder, 'llm2clip'), PICTURE], { encoding: 'utf8' }));
      taught = await importAs('tiny-llm2clip', ...distil, ...theirs);
      await serve('tiny-llm2clip');
    });

    test('one command computes the vectors, trains, publishes', () => {
      expect(taught.code).toBe(0);
      expect(computed()).toHaveLength(1);
      const { name, metrics } = JSON.parse(taught.stdout);
      expect(name).toBe('tiny-llm2clip');
      expect(metrics['parity.image.worst']).toBeGreaterThan(0.9999);
      expect(metrics['student.dev_top1']).toBeGreaterThan(0.3);
    });

    test('the Worker serves it, with images at the vectors of the library', async () => {
      await servesTiers(['tiny-llm2clip', 'tiny-llm2clip-static']);
      const image = `data:image/jpeg;base64,${readFileSync(PICTURE).toString('base64')}`;
      const [served = []] = await embed([{ image }]);
      expect(cosine(served, picture)).toBeGreaterThan(0.9999);
    });

    test('vectors that are there are not computed again, others are when texts are read otherwise', async () => {
      const [file = ''] = computed();
      const written = () => statSync(join(folder, 'runs/language-features', file)).mtimeMs;
      const before = written();
      expect((await importAs('tiny-llm2clip', ...distil, ...theirs, '--model-version', '2')).code).toBe(0);
      expect([computed(), written()]).toEqual([[file], before]);
      expect((await importAs('tiny-llm2clip-plain', ...distil, '--template', '{}')).code).toBe(0);
      expect(computed()).toHaveLength(2);
    });
  });

  test.each([
    [['clip', '--steps', '3'], '--steps goes with import --distil'],
    [['clip', '--language-model', 'clip'], '--language-model goes with import --distil'],
    [['clip', '--distil', '--add-bos'], '--add-bos goes with --language-model'],
    [['clip', '--distil', '--language-model', 'clip', '--template', '{}'], '--language-model needs --captions FILE'],
    [['clip', '--distil', '--language-model', 'clip', '--captions', 'captions.txt'], "Nothing: --template '{}'"],
    [
      ['clip', '--distil', '--language-model', 'clip', '--captions', 'captions.txt', '--features', 'small.json'],
      '--language-model computes what --features FILE holds: name one of them',
    ],
    [
      ['clip', '--distil', '--language-model', 'clip', '--captions', 'captions.txt', '--template', '{}'],
      "--language-model is for LLM2CLIP's layouts: clip has a text tower",
    ],
    [
      ['clip', '--distil', '--language-model', 'nowhere', '--captions', 'captions.txt', '--template', '{}'],
      'there is no nowhere',
    ],
    [['clip', '--distil', '--steps', 'few', '--captions', 'captions.txt'], '--steps few: a whole number from 1 on'],
    [['clip', '--distil', '--captions', 'nowhere.txt'], 'there is no nowhere.txt'],
    [['clip', '--distil', '--features', 'small.json'], '--features needs --captions'],
  ])('%j is refused before anything is trained', async (words, sentence) => {
    let said = '';
    const code = await model(['import', ...words, '--name', 'refused', '--registry', 'registry'], {
      root: ROOT,
      cwd: folder,
      env: { PATH: process.env.PATH, TRAINER_PYTHON: python },
      stdout: { write: () => true },
      stderr: { write: (text: string) => (said += text) },
    });
    expect(code).toBe(2);
    expect(said).toContain(sentence);
  });
});
