// `npm run evaluate` from outside: the embedded model on texts that a temporary data folder holds.
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { evaluate } from '../../../../trainer/control/cli/evaluate.ts';
import { captured } from '../../../support/captured.ts';
import { warmPython } from '../../../support/python.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 600_000 });
const ROOT = resolve(import.meta.dirname, '../../../..');

const COCO = {
  images: [
    { id: 1, file_name: '1.jpg' },
    { id: 2, file_name: '2.jpg' },
  ],
  annotations: [
    { image_id: 1, caption: 'a dog runs' },
    { image_id: 2, caption: 'a bowl of soup' },
    { image_id: 1, caption: 'a dog is running' },
    { image_id: 2, caption: 'soup in a bowl' },
  ],
};

let folder: string;
let python: string;
beforeAll(async () => {
  python = await warmPython();
  folder = mkdtempSync(join(tmpdir(), 'evaluate '));
  mkdirSync(join(folder, 'data/text'), { recursive: true });
  const pairs = [
    { a: 'a dog runs', b: 'a dog is running', score: 5 },
    { a: 'a dog runs', b: 'a cat sleeps in a bed', score: 1 },
  ];
  writeFileSync(join(folder, 'captions_val2017.json'), JSON.stringify(COCO));
  const rows = pairs.map((row) => `${JSON.stringify(row)}\n`).join('');
  writeFileSync(join(folder, 'data/text/stsb.dev.jsonl.gz'), gzipSync(rows));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (...args: string[]) =>
  captured(evaluate, args, {
    root: ROOT,
    cwd: folder,
    env: { PATH: process.env.PATH, TRAINER_PYTHON: python, CLIP_DATA: 'data' },
  });

it('says before it measures that a page has no folder to lie in', async () => {
  const { code, stderr } = await run('--suite', 'flickr30k=data', '--html', 'nowhere/page.html');
  expect({ code, stderr }).toEqual({
    code: 2,
    stderr: `--html nowhere/page.html: there is no folder ${join(folder, 'nowhere')}\n`,
  });
});

it('measures the embedded model on the sets that are there, names the others, and keeps vectors where it is told', async () => {
  const { code, stdout } = await run('--cache', 'kept', '--only', 'stsb,long', '--tier', 'base,static', '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    model: 'edge-clip-small 0.2.3',
    space_id: expect.stringMatching(/^sha256:/),
    // Two pairs, in the right order.
    sets: { stsb: { base: { spearman: expect.closeTo(1) }, static: { spearman: expect.closeTo(1) } } },
    left_out: { long: 'the data folder has no text/long-captions.dev.jsonl.gz' },
  });
  expect(readdirSync(join(folder, 'kept')).length).toBeGreaterThan(0);
});

it('knows the embedded model by its name', async () => {
  const words = ['--only', 'stsb', '--tier', 'static', '--json', '--registry', 'data'];
  const { stdout } = await run('edge-clip-small', ...words);
  expect(JSON.parse(stdout)).toMatchObject({ model: 'edge-clip-small 0.2.3', sets: { stsb: { static: {} } } });
});

it('measures a benchmark of the user, by a path from where the user is', async () => {
  const { code, stdout } = await run('--cache', 'kept', '--suite', 'cra=.', '--tier', 'static', '--json');
  expect(code).toBe(0);
  const { suites } = JSON.parse(stdout);
  expect(suites).toEqual({ cra: { static: { cra: 1, second_to_first: 1, first_to_any: 1, pairs: 2 } } });
  const table = await run('--cache', 'kept', '--suite', 'cra=.', '--tier', 'static');
  expect(table.stdout).toMatch(/^cra cra +100\.0$/m);
});

it('has a column of the page for each of two models of one title', async () => {
  cpSync(join(ROOT, 'api/playground/samples/cat.jpg'), join(folder, 'own/cat.jpg'), { recursive: true });
  writeFileSync(join(folder, 'own/captions.jsonl'), '{"image": "cat.jpg", "caption": "a cat"}\n');
  const models = ['edge-clip-small', 'edge-clip-small', '--registry', 'data', '--tier', 'static'];
  const { code, stderr } = await run(...models, '--cache', 'kept', '--suite', 'captions=own', '--html', 'page.html');
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const page = readFileSync(join(folder, 'page.html'), 'utf8');
  expect(page).toContain("<th scope='col'>1: edge-clip-small 0.2.3, static</th>");
  expect(page).toContain("<th scope='col'>2: edge-clip-small 0.2.3, static</th>");
});

it.each<[string[], string]>([
  [['--suite', 'flickr=data'], '--suite: there is no suite flickr. There are: flickr8k,'],
  [['--suite', 'coco=data'], 'data holds no dataset_coco.json'],
  [['--suite', 'coco=data', '--only', 'stsb'], '--only names dev sets and --suite a benchmark'],
  [['--suite', 'cra=.', '--features', 'int8'], '--features int8: there are float16, float32'],
  [['--suite', 'cra=.', '--processes', 'two'], '--processes two: a whole number from 1 to 99'],
  [['--processes', '2'], '--processes shares the work on suites: there is no --suite'],
  [['--sample', '100'], '--sample is of suites of pictures and captions: there is no --suite'],
  [['--suite', 'cra=.', '--sample', '0'], '--sample 0: a whole number from 1 on'],
  [['open_clip:ViT-B-32', '--suite', 'cra=.'], 'open_clip:ViT-B-32 names no weights'],
  [['--suite', 'cra=.', '--tier', 'huge'], '--tier: there is no tier huge here, but base, '],
  [['--only', 'stbs'], '--only: there is no dev set stbs. There are: flickr,'],
  [['./nowhere'], 'nowhere holds no manifest.json and no clip.json: name the folder of an exported model'],
  [['nowhere', '--registry', 'data'], 'nowhere is neither a folder with a manifest.json nor a model in file://'],
  [['--data', 'elsewhere'], 'elsewhere does not exist; --data or CLIP_DATA names it'],
  [['--only', 'stsb', '--tier', 'huge'], '--tier: there is no tier huge here, but base, '],
])('refuses %j in a sentence', async (args, sentence) => {
  const { code, stderr } = await run(...args);
  expect(stderr).toContain(sentence);
  expect(code).toBe(2);
});

it('says as JSON, too, what is refused and what the disk forbids', async () => {
  const refused = await run('--suite', 'cra=.', '--tier', 'huge', '--json');
  expect(JSON.parse(refused.stdout)).toEqual({ refused: expect.stringContaining('there is no tier huge here') });
  const folderAsPage = await run('--suite', 'cra=.', '--html', 'data', '--json');
  expect(JSON.parse(folderAsPage.stdout)).toEqual({ refused: '--html data: that is a folder, name a file in it' });
  writeFileSync(join(folder, 'a file'), '');
  const failed = await run('--suite', 'cra=.', '--tier', 'static', '--cache', 'a file', '--json');
  expect(failed.code).toBe(1);
  expect(JSON.parse(failed.stdout)).toEqual({ failed: expect.stringContaining('a file is where a folder is needed') });
});

it('says that nothing could be measured', async () => {
  const { code, stdout } = await run('--only', 'long', '--tier', 'static');
  expect(code).toBe(1);
  expect(stdout).toContain('long was left out: the data folder has no text/long-captions.dev.jsonl.gz');
});
