// The embedded model's partition against its whole graph, in the runtime that serves them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { dot } from '../../../../api/core/vectors/vectors.ts';
import type { OpenTextEngine } from '../../../../api/text/engine.ts';
import { createOnnxEngine } from '../../../../api/text/onnx/engine.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';

const MODEL = join(import.meta.dirname, '../../../../api/model');
const { text } = ModelManifest.parse(JSON.parse(readFileSync(join(MODEL, 'manifest.json'), 'utf8')));
const { partition, ...undivided } = text;

let inParts: OpenTextEngine;
let whole: OpenTextEngine;
beforeAll(async () => {
  const file = createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm');
  const engine = createOnnxEngine({
    // The types of this folder are workerd's, where no module is made from bytes.
    wasm: Reflect.construct(WebAssembly.Module, [readFileSync(file)]),
    alone: (work) => work(),
  });
  const read = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(MODEL, path))).buffer;
  inParts = await engine.open(text, read);
  whole = await engine.open(undivided, read);
});

/** Ids of ordinary tokens between the first and the last one. */
const ids = (length: number) => [2, ...Array.from({ length: length - 2 }, (_, i) => 1000 + ((i * 7919) % 12_000)), 3];

test.each([3, 16, 64, 128])('a text of %i tokens gets the vector of the whole graph', async (length) => {
  const [[parted], [expected]] = [await inParts.encode([ids(length)]), await whole.encode([ids(length)])];
  for (const [i, value] of (parted ?? []).entries()) expect(value).toBeCloseTo(expected?.[i] ?? Number.NaN, 6);
  expect(parted).toHaveLength(512);
});

test.each([129, 300, 512])('a text of %i tokens gets nearly that vector, chunk by chunk', async (length) => {
  const [[parted], [expected]] = [await inParts.encode([ids(length)]), await whole.encode([ids(length)])];
  expect(dot(parted ?? [], expected ?? [])).toBeGreaterThan(0.99);
  // A chunk that saw no other one, or the wrong positions, would be far off.
  const [reversed] = await inParts.encode([ids(length).toReversed()]);
  expect(dot(parted ?? [], reversed ?? [])).toBeLessThan(0.99);
});

/** The turns that it asks for, in tokens. */
async function turnsOf({ encode }: OpenTextEngine): Promise<number[]> {
  const asked: number[] = [];
  await encode([ids(512)], { next: async (tokens) => void asked.push(tokens) });
  return asked;
}

test('within one long text other requests get their turn at least every 32 tokens of work', async () => {
  const turns = await turnsOf(inParts);
  expect(Math.max(...turns)).toBeLessThanOrEqual(32);
  expect(turns.length).toBeGreaterThanOrEqual(512 / 32);
  expect(await turnsOf(whole)).toEqual([512]);
});

test('a client that goes away within a long text stops its work there', async () => {
  let turns = 0;
  const next = async () => {
    if (++turns === 3) throw new Error('gone');
  };
  await expect(inParts.encode([ids(512)], { next })).rejects.toThrow('gone');
  expect(turns).toBe(3);
});
