// `npm run finetune` from outside: own pictures become a model that says before and after, and what breaks is said in a sentence.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { readCandidate } from '../../../../../api/registry/candidate.ts';
import { publishModel } from '../../../../../api/registry/publish.ts';
import { openStore } from '../../../../../api/registry/stores/open.ts';
import { ModelManifest } from '../../../../../contracts/src/model/manifest.ts';
import { finetune } from '../../../../../trainer/control/cli/finetune/finetune.ts';
import { model } from '../../../../../trainer/control/cli/model.ts';
import { train } from '../../../../../trainer/control/cli/train.ts';
import { writeRuns } from '../../../../support/exported-model.ts';
import { warmPython } from '../../../../support/python.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const ROOT = join(import.meta.dirname, '../../../../..');
const COLOURS = { red: '#d02020', green: '#20c020', blue: '#2020d0' };
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'finetune-'));
  const CLIP_DATA = join(folder, 'general');
  env = { ...process.env, TRAINER_PYTHON: await warmPython(), OMP_NUM_THREADS: '1', CLIP_DATA };
  const made = spawnSync(
    env.TRAINER_PYTHON ?? '',
    ['-W', 'ignore', join(ROOT, 'test/support/tiered_model.py'), join(folder, 'base')],
    { encoding: 'utf8' },
  );
  expect(made.stderr).toBe('');
  for (const [name, background] of Object.entries(COLOURS)) {
    mkdirSync(join(folder, 'shop', name), { recursive: true });
    for (let side = 20; side < 26; side += 1) {
      const picture = sharp({ create: { width: side, height: 20, channels: 3, background } });
      await picture.jpeg().toFile(join(folder, 'shop', name, `${side}.jpg`));
    }
  }
  writeFileSync(join(folder, 'shop/red/notes.jpg'), 'no picture');
  const base = JSON.parse(readFileSync(join(folder, 'base/manifest.json'), 'utf8'));
  const preprocess = { ...base.image.preprocess, resize_mode: 'patches', patch: 8, crop: 'none' };
  const others = {
    'own-shape': { image: { ...base.image, preprocess } },
    'own-text': { static: undefined, tiny: undefined },
  };
  for (const [name, changes] of Object.entries(others)) {
    cpSync(join(folder, 'base'), join(folder, name), { recursive: true });
    writeFileSync(join(folder, name, 'manifest.json'), JSON.stringify({ ...base, ...changes }));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = async (...args: string[]) => await runWatched(args, () => {});

async function runWatched(args: readonly string[], onText: (text: string) => void) {
  const [out, errors]: string[][] = [[], []];
  const code = await finetune([...args, '--runs', 'runs'], {
    root: ROOT,
    cwd: folder,
    env,
    stdout: {
      write: (text: string) => {
        onText(text);
        out?.push(text);
      },
    },
    stderr: { write: (text: string) => errors?.push(text) },
  });
  return { code, stdout: out?.join('') ?? '', stderr: errors?.join('') ?? '' };
}

it('says with --dry-run how the data are read and writes a recipe that says only what differs', async () => {
  const { code, stdout } = await run('shop', '--from', 'base', '--steps', '4', '--model-version', '2', '--dry-run');
  expect(code).toBe(0);
  expect(stdout).toContain('3 folders are the classes of 19 images');
  expect(stdout).toContain('18 images with 3 classes: 15 to learn from, 3 to measure on');
  expect(stdout).toContain('1 left out: red/notes.jpg: it is no image, or in a format that cannot be read');
  expect(JSON.parse(readFileSync(join(folder, 'runs/shop/recipe.json'), 'utf8'))).toEqual({
    extends: 'finetune',
    name: 'shop',
    description: `shop taught to the model in ${join(folder, 'base')}.`,
    data: folder,
    adapt: {
      model: join(folder, 'base'),
      name: 'shop',
      version: '2',
      space: 'keep',
      schedule: { steps: 4, warmup_steps: 0 },
      own: { path: 'shop' },
    },
  });
});

it('leaves a model folder that a server opens, with figures before and after, and is not trained twice', async () => {
  const options = ['shop', '--from', 'base', '--steps', '4', '--no-general', '--json', '--out', 'my model'];
  const { code, stdout } = await run(...options);
  expect(code).toBe(0);
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const done = events.at(-1);
  expect(done).toMatchObject({
    event: 'finetuned',
    model: join(folder, 'my model'),
    serve: "npm start -- --model 'my model'",
    follow: 'MODEL_NAME=shop npm start',
  });
  expect(done.verdicts).toEqual([expect.stringContaining('No verdicts on searches: ')]);
  const names = done.figures.map((figure: { name: string }) => figure.name);
  expect(names).toContain('student.image_to_class_top1');
  for (const { before, after } of done.figures)
    for (const value of [before, after]) expect(value).toBeLessThanOrEqual(1);
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(folder, 'my model/manifest.json'), 'utf8')));
  const base = ModelManifest.parse(JSON.parse(readFileSync(join(folder, 'base/manifest.json'), 'utf8')));
  expect(manifest.name).toBe('shop');
  expect(manifest.space_id).toBe(base.space_id);
  expect(existsSync(join(folder, 'my model', manifest.text.graph.file.path))).toBe(true);
  const again = await run(...options);
  expect(stdout).toContain('"event":"running"');
  expect(again.stdout).not.toContain('"event":"running"');
  expect(JSON.parse(again.stdout.trim().split('\n').at(-1) ?? '')).toEqual(done);
});

it('prints lines that mean this model whatever is tried afterwards: the same again, and to publish it', async () => {
  const { stdout } = await run('shop', '--from', 'base', '--steps', '4', '--no-general', '--name', 'typed');
  expect(stdout).toContain('On 3 images that were not learned from, per cent:');
  const other = await run('shop', '--from', 'base', '--steps', '5', '--no-general', '--name', 'typed', '--dry-run');
  expect(other.stdout).toContain('5 steps');
  const typed = (kind: string) => new RegExp(`${kind} +npm run (\\w+) -- (.*)`).exec(stdout)?.slice(1) ?? [];
  const context = (out: string[]) => ({
    root: ROOT,
    cwd: folder,
    env,
    stdout: { write: (text: string) => out.push(text) },
    stderr: { write: (text: string) => out.push(text) },
  });
  const [again, published]: string[][] = [[], []];
  const [command, words] = typed('the same again');
  expect(command).toBe('train');
  expect(await train(words?.split(' ') ?? [], context(again ?? []))).toBe(0);
  expect(again?.join('')).toContain('1 finished, nothing to run');
  const [publish, its] = typed('publish it');
  expect(publish).toBe('model');
  const registry = ['--registry', 'registry', '--check'];
  expect([0, 1]).toContain(await model([...(its?.split(' ') ?? []), ...registry], context(published ?? [])));
  expect(published?.join('')).toMatch(/typed 1 (may be published|is rejected)/);
});

it('starts from a published model by its name, which is fetched once', async () => {
  const store = openStore(`file://${join(folder, 'published')}`);
  const files = new Map(
    readdirSync(join(folder, 'base')).map((name) => [name, readFileSync(join(folder, 'base', name))]),
  );
  const { exported, evaluated } = await writeRuns(openStore(`file://${join(folder, 'store')}`), 'runs', files);
  const candidate = await readCandidate(openStore(exported), openStore(evaluated), `sha256:${'0'.repeat(64)}`);
  await publishModel(store, candidate, { decision: 'publish', reasons: ['a test'], incumbent: null });
  const { name } = candidate.manifest;
  const options = ['shop', '--from', name, '--registry', 'published', '--steps', '4', '--name', 'from', '--dry-run'];
  const modelOf = async () => {
    const { code, stderr } = await run(...options);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(readFileSync(join(folder, 'runs/from/recipe.json'), 'utf8')).adapt.model as string;
  };
  const fetched = await modelOf();
  expect(ModelManifest.parse(JSON.parse(readFileSync(join(fetched, 'manifest.json'), 'utf8'))).name).toBe(name);
  expect(await modelOf()).toBe(fetched);
  expect(readdirSync(join(folder, 'runs/published-models'))).toEqual([basename(fetched)]);
});

it('fits verdicts on general images where they are on the machine, and says what they call absent', async () => {
  mkdirSync(join(folder, 'general/flickr8k'), { recursive: true });
  const shard = join(folder, 'general/flickr8k/flickr8k-dev-000.tar');
  const pictures = join(folder, 'general/pictures');
  mkdirSync(pictures);
  const rows: string[] = [];
  for (let number = 0; number < 100; number += 1) {
    const background = { r: number * 2, g: (number * 37) % 256, b: (number * 91) % 256 };
    const picture = sharp({ create: { width: 24, height: 24, channels: 3, background } });
    await picture.png().toFile(join(pictures, `${number}.png`));
    rows.push(JSON.stringify({ key: `${number}`, captions: [`picture number ${number}`, `a picture of ${number}`] }));
  }
  writeFileSync(join(folder, 'general/flickr8k/flickr8k-dev.captions.jsonl'), rows.join('\n'));
  expect(spawnSync('tar', ['-cf', shard, '-C', pictures, '.']).status).toBe(0);
  const { code, stdout } = await run('shop', '--from', 'base', '--steps', '4', '--name', 'judged', '--dry-run');
  expect(code).toBe(0);
  expect(JSON.parse(readFileSync(join(folder, 'runs/judged/recipe.json'), 'utf8')).adapt.general_images).toBe(shard);
  expect(stdout).toContain('15 to learn from');
  const options = ['shop', '--from', 'base', '--steps', '4', '--name', 'judged', '--out', 'judged'];
  const done = await run(...options);
  expect(done.stdout).toContain('fitted on 100 general images with 200 captions');
  expect(done.stdout).toMatch(/student: of captions that are there \d+\.\d% are called absent, of others \d+\.\d%/);
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(folder, 'judged/manifest.json'), 'utf8')));
  expect(manifest.search_verdicts?.student?.text_image.counts.at(-1)).toBe(99);
  rmSync(join(folder, 'general'), { recursive: true });
});

it('refuses a folder for the model that holds something else, before anything is trained', async () => {
  mkdirSync(join(folder, 'holiday'));
  writeFileSync(join(folder, 'holiday/letter.txt'), 'dear');
  const asked = (out: string) => run('shop', '--from', 'base', '--name', 'out', '--out', out, '--dry-run');
  expect(await asked('holiday')).toMatchObject({ code: 2, stderr: expect.stringContaining('holds something else') });
  expect(await asked('base')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/base holds a model named \S+:/),
  });
  expect(readFileSync(join(folder, 'holiday/letter.txt'), 'utf8')).toBe('dear');
});

it('gives its result although the images changed while it trained', async () => {
  const late = join(folder, 'shop/red/late.jpg');
  const options = ['shop', '--from', 'base', '--steps', '4', '--no-general', '--json', '--name', 'late'];
  const { code, stdout } = await runWatched(options, (text) => {
    if (text.includes('"event":"progress"')) writeFileSync(late, readFileSync(join(folder, 'shop/red/20.jpg')));
  });
  expect(existsSync(late)).toBe(true);
  rmSync(late);
  expect(code).toBe(0);
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ event: 'finetuned' });
});

it.each([
  [['nowhere'], 'there is no nowhere'],
  [['shop', '--from', 'shop'], 'shop is neither a folder with a manifest.json nor a model in'],
  [['shop', '--from', 'own-shape'], "tiered sees pictures in their own shape (SigLIP 2's NaFlex)"],
  [['shop', '--from', 'own-text'], 'tiered was imported with its own text tower, and fine-tuning teaches students'],
  [['shop', '--space', 'other'], '--space other: there are keep and new'],
  [['shop', '--steps', 'many'], '--steps many: a whole number from 1 on'],
  [['shop', '--name', 'My Shop'], '--name My Shop: a name starts with a small letter or digit'],
  [['table.csv', '--from', 'base'], "table.csv has no column that looks like the name of an image file; it has 'foto'"],
  [
    ['table.csv', '--from', 'base', '--image-column', 'foto', '--caption-column', 'titel'],
    'table.csv holds 0 usable images of 1, at least 4 are needed. Left out: gone.jpg: there is no file',
  ],
  [[], 'Which images? Name a folder or a file.'],
])('refuses %j in a sentence', async (args, sentence) => {
  writeFileSync(join(folder, 'table.csv'), '\ufefffoto;titel\ngone.jpg;A cup\n');
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(sentence);
});
