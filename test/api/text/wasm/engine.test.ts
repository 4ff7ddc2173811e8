// The engine on the embedded model's students: against a reference in double precision and onnxruntime, in both builds.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { dot } from '../../../../api/core/vectors/vectors.ts';
import type { OpenTextEngine } from '../../../../api/text/engine.ts';
import { IMAGE, idsOf, MODULES, open, openOnnx, openReference, read, towers } from './models.ts';

/** Cosines are that close to 1 in the plain build, where activations have 12 bits, and in the relaxed one with 7. */
const EXACTNESS: Record<string, number> = { 'encoder.wasm': 1e-4, 'encoder.relaxed.wasm': 4e-3 };

/** Of the student: a dropped text has four rows of numbers for each of its tokens. */
const WIDTH = 384;

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

/** Of a collection that was at work already the second one is not: it sees what has become garbage since. */
function bufferBytes(): number {
  collect();
  collect();
  return process.memoryUsage().arrayBuffers;
}

interface Exact {
  tower: 'student' | 'tiny';
  ids: number[];
  vector: ArrayLike<number>;
}
let exact: Exact[];
let inOnnx: Map<number, Float32Array>;
beforeAll(async () => {
  const [deep, shallow] = [await openReference(towers.student, 12), await openReference(towers.tiny, 12)];
  exact = [1, 2, 7, 13].map((length) => ({ tower: 'tiny', ids: idsOf(length), vector: shallow(idsOf(length)) }));
  exact.push({ tower: 'student', ids: idsOf(6), vector: deep(idsOf(6)) });
  const onnx = await openOnnx(towers.tiny);
  inOnnx = new Map();
  for (const length of [1, 2, 3, 4, 5, 9, 31, 63, 64, 65, 77, 128, 129, 191, 257, 512]) {
    inOnnx.set(length, await onnx(idsOf(length)));
  }
});

describe.each(MODULES)('%s', (file) => {
  let student: OpenTextEngine;
  let tiny: OpenTextEngine;
  beforeAll(async () => {
    [student, tiny] = [await open(towers.student, file), await open(towers.tiny, file)];
  });
  const one = async (engine: OpenTextEngine, ids: number[]) => (await engine.encode([ids]))[0] ?? new Float32Array();
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => 1 - dot(a, b);

  test('a text has nearly the vector that the definition gives in double precision', async () => {
    for (const { tower, ids, vector } of exact) {
      expect(distance(await one(tower === 'tiny' ? tiny : student, ids), vector)).toBeLessThan(EXACTNESS[file] ?? 0);
    }
  });

  test('at lengths around every block size it agrees with onnxruntime as golden vectors have to', async () => {
    const onnx = await openOnnx(towers.tiny);
    for (const length of [1, 2, 3, 4, 5, 8, 9, 15, 31, 63, 64, 65, 77, 127, 128, 129, 191, 257, 511, 512]) {
      expect(distance(await one(tiny, idsOf(length)), await onnx(idsOf(length))), `${length} tokens`).toBeLessThan(
        0.01,
      );
    }
    const deep = await openOnnx(towers.student);
    for (const length of [5, 77, 130]) {
      expect(distance(await one(student, idsOf(length)), await deep(idsOf(length)))).toBeLessThan(0.01);
    }
  });

  test('a text has the same bits alone, among others, again, and in another instance', async () => {
    const texts = [3, 1, 40, 64, 17, 9, 70, 2, 30, 30, 30, 5].map((length, seed) => idsOf(length, seed));
    const together = await tiny.encode(texts);
    const again = await open(towers.tiny, file);
    for (const [at, ids] of texts.entries()) {
      expect(await one(tiny, ids)).toEqual(together[at]);
      expect(await one(again, ids)).toEqual(together[at]);
    }
  });

  test('requests that take turns do not disturb each other', async () => {
    const texts = [idsOf(200, 1), idsOf(150, 2), idsOf(30, 3)];
    const alone = await Promise.all(texts.map((ids) => one(tiny, ids)));
    const turn = { next: () => new Promise<void>((resolve) => setTimeout(resolve, 0)) };
    const inTurns = await Promise.all(texts.map((ids) => tiny.encode([ids], turn)));
    expect(inTurns.map(([vector]) => vector)).toEqual(alone);
  });

  test('one that goes away leaves the workspace to the others', async () => {
    let turns = 0;
    const gone = { next: () => (++turns === 3 ? Promise.reject(new Error('gone')) : Promise.resolve()) };
    const before = await one(tiny, idsOf(50));
    await expect(tiny.encode([idsOf(300)], gone)).rejects.toThrow('gone');
    expect(turns).toBe(3);
    expect(await one(tiny, idsOf(50))).toEqual(before);
  });

  test('any texts have finite unit vectors, the same in every company, and an id that is not there stops all of them', async () => {
    const { rows } = towers.tiny.table;
    const bytes = tiny.memoryBytes();
    const text = fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 90 });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 5 }), fc.nat(), async (texts, number) => {
        const vectors = await tiny.encode(texts);
        for (const vector of vectors) expect(dot(vector, vector)).toBeCloseTo(1, 5);
        const at = number % texts.length;
        expect(await one(tiny, texts[at] ?? [])).toEqual(vectors[at]);
        const faulty = texts.with(at, [...(texts[at] ?? []), rows + number]);
        await expect(tiny.encode(faulty)).rejects.toThrow(RangeError);
        expect(await tiny.encode(texts)).toEqual(vectors);
      }),
      { numRuns: 12, seed: 15 },
    );
    expect(tiny.memoryBytes()).toBe(bytes);
  });

  test('memory is that of the weights and one text, and never grows', async () => {
    const sizes = [student.memoryBytes(), tiny.memoryBytes()];
    // What trainer/exchange/incoming/isolate.py computes for these shapes (test/trainer/exchange/test_import.py).
    expect(sizes.map((bytes) => bytes / 2 ** 20)).toEqual([16, 9.125]);
    await tiny.encode(Array.from({ length: 40 }, (_, seed) => idsOf(12, seed)));
    await one(tiny, idsOf(512));
    expect([student.memoryBytes(), tiny.memoryBytes()]).toEqual(sizes);
  });
});

test('what this engine asks turns for is little work each, and as many tokens as there are', async () => {
  const asked: number[] = [];
  const engine = await open(towers.student, 'encoder.wasm');
  await engine.encode([idsOf(512)], { next: async (tokens) => void asked.push(tokens) });
  expect(Math.max(...asked)).toBeLessThanOrEqual(32);
  expect(asked.reduce((sum, tokens) => sum + tokens, 0)).toBeCloseTo(512);
});

test('ids outside the table and texts of other lengths are refused', async () => {
  const { encode } = await open(towers.tiny, 'encoder.wasm');
  const { rows } = towers.tiny.table;
  for (const id of [-1, rows, 1.5, Number.NaN]) await expect(encode([[2, id, 3]])).rejects.toThrow(RangeError);
  await expect(encode([idsOf(513)])).rejects.toThrow('a text has 1 to 512 tokens, not 513');
  await expect(encode([[]])).rejects.toThrow(RangeError);
  expect(await encode([])).toEqual([]);
});

test('requests that were dropped in the midst of a text leave nothing behind', async () => {
  const { encode } = await open(towers.student, 'encoder.wasm');
  const text = idsOf(512);
  /** Its third turn never comes, and so no `finally` either: as workerd drops a request whose client has gone. */
  const drop = () =>
    new Promise<void>((dropped) => {
      let asked = 0;
      const next = () => (++asked < 3 ? Promise.resolve() : new Promise<void>(() => dropped()));
      void encode([text], { next });
    });
  const others = () => encode([idsOf(3)], { next: async () => {} });
  await others();
  const before = bufferBytes();
  for (let request = 0; request < 8; request++) {
    await drop();
    await others();
  }
  // The last one may be held by what still stands on the stack, and all of them for a while by work in the background.
  const leftBehind = () => bufferBytes() - before;
  await expect.poll(leftBehind, { timeout: 30_000, interval: 200 }).toBeLessThan(2 * (4 * 512 * 4 * WIDTH));
});

test('its copy of the weights is given up once they are in linear memory', async () => {
  const given: ArrayBuffer[] = [];
  const { createWasmEngine } = await import('../../../../api/text/wasm/engine.ts');
  const { moduleOf } = await import('./models.ts');
  const engine = createWasmEngine({ module: moduleOf('encoder.wasm') });
  await engine.open(towers.tiny, async (artefact) => {
    const file = await read(artefact);
    given.push(file);
    return file;
  });
  expect(given.filter(({ detached }) => detached)).toHaveLength(1);
});

test('a graph of another kind is refused by its first node that differs', async () => {
  const { graph: _, partition: __, ...rest } = towers.tiny;
  await expect(open({ ...rest, graph: IMAGE }, 'encoder.wasm')).rejects.toThrow(
    `this engine cannot run ${IMAGE.file.path}: its graph is not that of an imported CLIP: node 0 differs`,
  );
});
