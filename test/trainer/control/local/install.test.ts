// --install: the exported model, checked by digest, takes the old one's place as a whole or not at all.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import type { Artefact } from '../../../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import type { TrainingReport } from '../../../../contracts/src/training/job.ts';
import { installModel } from '../../../../trainer/control/local/install.ts';
import { createRepository, type TinyRepository, train } from '../../../support/tiny-repository.ts';

vi.setConfig({ testTimeout: 120_000 });
const ARGS = ['recipes/tiny.json', '--to', 'export', '--install'];

function describeFile(path: string, content: string): Artefact {
  return { path, digest: `sha256:${createHash('sha256').update(content).digest('hex')}`, size: content.length };
}

/** A manifest that keeps the contract; its files hold their own names. */
function tinyManifest(): ModelManifest {
  const file = (name: string): Artefact => describeFile(name, name);
  const line = { scale: 1, bias: 0 };
  const id = describeFile('', '').digest;
  return {
    name: 'tiny',
    version: '1',
    created_at: '2026-01-01T00:00:00Z',
    space_id: id,
    embed_dim: 16,
    matryoshka_dims: [16],
    text: {
      tokenizer: {
        type: 'wordpiece',
        vocabulary: file('vocabulary.txt'),
        vocabulary_size: 4,
        pad_id: 0,
        unk_id: 1,
        cls_id: 2,
        sep_id: 3,
      },
      context_length: 8,
      table: { file: file('text.table.bin'), rows: 4, width: 16 },
      graph: { file: file('text.onnx'), opset: 17 },
    },
    static: { table: { file: file('static.table.bin'), rows: 4, width: 16 } },
    image: {
      preprocess: {
        resize_mode: 'shortest',
        size: 32,
        interpolation: 'bicubic',
        crop: 'center',
        mean: [0, 0, 0],
        std: [1, 1, 1],
        color: 'rgb',
      },
      graph: { file: file('image.onnx'), opset: 17 },
    },
    calibration: { text_image: line, text_text: line, image_image: line },
    golden: [{ text: 'a', tier: 'student', embedding: [1], min_cosine: 0.99 }],
    metrics: {},
    lineage: { recipe: 'tiny', code: id, parents: [] },
  };
}

const FILES = ['MODEL_CARD.md', 'vocabulary.txt', 'text.table.bin', 'text.onnx', 'static.table.bin', 'image.onnx'];

/** A repository with an old model in place, whose export stage writes the given files. */
function repositoryExporting(files: Record<string, string>): TinyRepository {
  const repository = createRepository();
  for (const folder of ['exported', 'api/model']) mkdirSync(join(repository.root, folder), { recursive: true });
  writeFileSync(join(repository.root, 'api/model/old.bin'), 'old');
  for (const [name, content] of Object.entries(files)) writeFileSync(join(repository.root, 'exported', name), content);
  return repository;
}

function modelFiles({ root }: TinyRepository): string[] {
  expect(readdirSync(join(root, 'api'))).toEqual(['model']);
  return readdirSync(join(root, 'api/model')).sort();
}

it('replaces the old model by the files of the export and nothing else of its run', async () => {
  const files = Object.fromEntries(FILES.map((name) => [name, name]));
  const repository = repositoryExporting({ ...files, 'manifest.json': JSON.stringify(tinyManifest()) });
  const { code, stdout, stderr } = await train(repository.root, ARGS);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  expect(stdout).toMatch(/Installed 8 files/);
  expect(modelFiles(repository)).toEqual([...FILES, 'manifest.json', 'result.txt'].sort());
  expect(readFileSync(join(repository.root, 'api/model/text.onnx'), 'utf8')).toBe('text.onnx');
});

it('takes nothing of what another container installs, whose process has the same number', () => {
  const folder = mkdtempSync(join(tmpdir(), 'install-'));
  const files = {
    ...Object.fromEntries(FILES.map((name) => [name, name])),
    'manifest.json': JSON.stringify(tinyManifest()),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const artefacts = Object.fromEntries(Object.keys(files).map((path) => [path, { path, digest: '', size: 0 }]));
  const others = join(folder, `.model.incoming-${process.pid}`);
  mkdirSync(others);
  writeFileSync(join(others, 'other.bin'), 'half');
  installModel(folder, { artefacts } as unknown as TrainingReport, { target: join(folder, 'model') });
  expect(readdirSync(join(folder, 'model')).sort()).toEqual(Object.keys(files).sort());
  expect(readdirSync(others)).toEqual(['other.bin']);
});

it('takes the card with the figures of the evaluation, where that has run', async () => {
  const files = Object.fromEntries(FILES.map((name) => [name, name]));
  const repository = repositoryExporting({ ...files, 'manifest.json': JSON.stringify(tinyManifest()) });
  mkdirSync(join(repository.root, 'evaluated'));
  writeFileSync(join(repository.root, 'evaluated/MODEL_CARD.md'), 'with figures');
  const card = () => readFileSync(join(repository.root, 'api/model/MODEL_CARD.md'), 'utf8');
  expect((await train(repository.root, ARGS)).code).toBe(0);
  expect(card()).toBe('MODEL_CARD.md');
  expect((await train(repository.root, ['recipes/tiny.json', '--install'])).code).toBe(0);
  expect(card()).toBe('with figures');
});

it.each<[string, Record<string, string>, RegExp]>([
  ['a file with other bytes of the same length', { 'text.onnx': 'text.ONNX' }, /text\.onnx is not the file/],
  ['an empty file', { 'image.onnx': '' }, /image\.onnx is not the file/],
  ['a manifest that breaks the contract', { 'manifest.json': '{"name":"tiny"}' }, /manifest breaks the contract/],
])('keeps the old model when the export holds %s', async (_, edits, message) => {
  const files = Object.fromEntries(FILES.map((name) => [name, name]));
  const repository = repositoryExporting({ ...files, 'manifest.json': JSON.stringify(tinyManifest()), ...edits });
  const { code, stderr } = await train(repository.root, ARGS);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
  expect(modelFiles(repository)).toEqual(['old.bin']);
});

it('says that there is nothing to install before export has run', async () => {
  const repository = repositoryExporting({});
  const { code, stderr } = await train(repository.root, ['recipes/tiny.json', '--to', 'prepare', '--install']);
  expect(code).toBe(2);
  expect(stderr).toContain('export is not finished and this command does not run it; use at least --to export');
  expect(existsSync(join(repository.root, 'runs/tiny'))).toBe(false);
  expect(existsSync(join(repository.root, 'api/model/old.bin'))).toBe(true);
});
