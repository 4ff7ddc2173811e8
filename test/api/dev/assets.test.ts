// The folder of static files: what is in it, for which engine, what is refused, and how a large file is cut.
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeStaticFiles } from '../../../api/dev/assets/write.ts';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import { decodeIndex, indexVocabulary } from '../../../api/text/tokenizers/pieces.ts';
import { artefactKey, PACKED_MODEL, STATIC_PATHS } from '../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../../contracts/src/model/static-files.ts';
import { rowTables, textTowers, withPacked } from '../../../contracts/src/model/towers.ts';

const MIB = 1024 * 1024;
const folder = mkdtempSync(join(tmpdir(), 'assets '));
const model = join(folder, 'model');
beforeAll(() => cpSync(EMBEDDED_MODEL, model, { recursive: true }));
afterAll(() => rmSync(folder, { recursive: true }));

it.each<[string, (file: string) => void, RegExp]>([
  ['damaged', (file) => appendFileSync(file, '!'), /tiny\.onnx is not the tiny\.onnx that the model's manifest names/],
  ['missing', (file) => rmSync(file), /the model's manifest names tiny\.onnx, and there is no .*tiny\.onnx/],
])('a file of the model that is %s is refused by name', async (what, change, message) => {
  change(join(model, 'tiny.onnx'));
  await expect(writeStaticFiles(join(folder, what), model)).rejects.toThrow(message);
  cpSync(join(EMBEDDED_MODEL, 'tiny.onnx'), join(model, 'tiny.onnx'));
});

describe('the weights of transformers', () => {
  const has = (written: string, digest = '') => existsSync(join(written, artefactKey(digest)));
  const hasParts = (written: string, digest: string) => existsSync(join(written, `${artefactKey(digest)}.0`));
  const named = ModelManifest.parse(JSON.parse(readFileSync(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')));

  it('are packed for our own engine, and their graphs left out; a browser is told so by the manifest', async () => {
    const written = join(folder, 'packed');
    await writeStaticFiles(written, EMBEDDED_MODEL);
    const towers = JSON.parse(readFileSync(join(written, PACKED_MODEL), 'utf8'));
    for (const { packed, graph, table } of Object.values(textTowers(withPacked(named, towers)))) {
      expect([has(written, packed?.file.digest), hasParts(written, table.file.digest)]).toEqual([true, true]);
      expect([graph.file, graph.weights?.file].map((file) => has(written, file?.digest))).toEqual([false, false]);
    }
    const local = JSON.parse(readFileSync(join(written, STATIC_PATHS.manifest), 'utf8'));
    expect(local).toEqual(JSON.parse(JSON.stringify(withPacked(named, towers))));
  });

  it('are beside tables in parts of whole rows, which together are the table, and the index of the vocabulary', async () => {
    const written = join(folder, 'packed');
    for (const { file, width, rows } of rowTables(named)) {
      const parts = staticFilesOf(rowTables(named))(file);
      const bytes = parts.map(({ key }) => readFileSync(join(written, key)));
      expect(bytes.map(({ length }) => length)).toEqual(parts.map(({ from, to }) => to - from));
      expect(parts.filter(({ from }) => from < rows * width && from % width !== 0)).toEqual([]);
      expect(Math.max(...bytes.map(({ length }) => length))).toBeLessThanOrEqual(256 * 1024);
      expect(Buffer.concat(bytes).equals(readFileSync(join(EMBEDDED_MODEL, file.path)))).toBe(true);
    }
    const { index } = JSON.parse(readFileSync(join(written, PACKED_MODEL), 'utf8'));
    const stored = Uint8Array.from(readFileSync(join(written, artefactKey(index.digest))));
    const vocabulary = readFileSync(join(EMBEDDED_MODEL, named.text.tokenizer.vocabulary.path), 'utf8');
    expect(decodeIndex(stored.buffer)).toEqual(indexVocabulary(vocabulary));
  });

  it('are as they were exported for onnxruntime-web', async () => {
    const written = join(folder, 'onnx');
    await writeStaticFiles(written, EMBEDDED_MODEL, { onnx: true });
    expect(existsSync(join(written, PACKED_MODEL))).toBe(false);
    for (const { graph, partition } of Object.values(textTowers(named))) {
      const digests = [graph.file, graph.weights?.file, partition?.file].map((file) => has(written, file?.digest));
      expect(digests).toEqual([true, true, true]);
    }
  });
});

it('a file beyond the limit of the platform is cut into parts that are within it', async () => {
  const bytes = Buffer.alloc(50 * MIB, 'weights');
  const hex = createHash('sha256').update(bytes).digest('hex');
  const manifest = JSON.parse(readFileSync(join(model, 'manifest.json'), 'utf8'));
  manifest.text.graph.weights.file = { path: 'text.weights.bin', digest: `sha256:${hex}`, size: bytes.length };
  writeFileSync(join(model, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(model, 'text.weights.bin'), bytes);
  const written = join(folder, 'large');
  const { largest } = await writeStaticFiles(written, model, { onnx: true });
  const parts = [0, 1, 2].map((part) => join(written, `artefacts/sha256/${hex}.${part}`));
  expect(largest).toBeLessThanOrEqual(25 * MIB);
  expect(parts.map((part) => statSync(part).size / MIB)).toEqual([24, 24, 2]);
  expect(Buffer.concat(parts.map((part) => readFileSync(part))).equals(bytes)).toBe(true);
});
