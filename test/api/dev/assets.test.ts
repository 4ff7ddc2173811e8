// The folder of static files: what is in it, what is refused, and how a large file is cut.
import { createHash } from 'node:crypto';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeStaticFiles } from '../../../api/dev/assets/write.ts';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';

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

it('a file beyond the limit of the platform is cut into parts that are within it', async () => {
  const bytes = Buffer.alloc(50 * MIB, 'weights');
  const hex = createHash('sha256').update(bytes).digest('hex');
  const manifest = JSON.parse(readFileSync(join(model, 'manifest.json'), 'utf8'));
  manifest.text.graph.weights.file = { path: 'text.weights.bin', digest: `sha256:${hex}`, size: bytes.length };
  writeFileSync(join(model, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(model, 'text.weights.bin'), bytes);
  const written = join(folder, 'large');
  const { largest } = await writeStaticFiles(written, model);
  const parts = [0, 1, 2].map((part) => join(written, `artefacts/sha256/${hex}.${part}`));
  expect(largest).toBeLessThanOrEqual(25 * MIB);
  expect(parts.map((part) => statSync(part).size / MIB)).toEqual([24, 24, 2]);
  expect(Buffer.concat(parts.map((part) => readFileSync(part))).equals(bytes)).toBe(true);
});
