// Weights that come in chunks: the same memory as from a whole file, wherever it is cut, and a whole file where the order needs one.
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ReadArtefact } from '../../../../api/text/engine.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import { areInOrder, copyChunks, copyWhole, type Placed } from '../../../../api/text/wasm/weights.ts';
import { cut, idsOf, MODULES, moduleOf, read, towers } from './models.ts';

describe('the tower of the embedded tiny student', () => {
  const { tiny } = towers;
  let file: Uint8Array;
  beforeAll(async () => {
    if (tiny.graph.weights) file = new Uint8Array(await read(tiny.graph.weights.file));
  });

  test.each(MODULES)(
    '%s: has the same bits from chunks, and never asks for the file of weights as a whole',
    async (module) => {
      const engine = createWasmEngine({ module: moduleOf(module) });
      const asked: string[] = [];
      const chunked: ReadArtefact = Object.assign(
        (artefact: Parameters<ReadArtefact>[0]) => {
          asked.push(artefact.path);
          return read(artefact);
        },
        { chunks: () => cut(file, [65_537, 300_000, 1]) },
      );
      const [whole, inChunks] = [await engine.open(tiny, read), await engine.open(tiny, chunked)];
      const texts = [idsOf(3), idsOf(90, 2)];
      expect(await inChunks.encode(texts)).toEqual(await whole.encode(texts));
      expect(asked).toEqual([tiny.graph.file.path, tiny.table.file.path]);
    },
  );

  test('is refused where the file ends too early', async () => {
    const engine = createWasmEngine({ module: moduleOf('encoder.wasm') });
    const short = Object.assign(read.bind(undefined), { chunks: () => cut(file.subarray(0, -1), [1 << 20]) });
    await expect(engine.open(tiny, short)).rejects.toThrow(
      'the file of weights ends before those that the graph names',
    );
  });
});

/** A weight of `length` bytes at `start` of the file, whose place in memory is `at`. */
const placed = (start: number, length: number, more: Partial<Placed> = {}): Placed => ({
  tensor: { bytes: new Uint8Array(), outside: { start, length } },
  at: start,
  ...more,
});
/** A matrix's parts; `pack` does nothing. */
function matrixAt(values: number, scales: number, biases: number): Placed[] {
  const matrix = { pack: () => {} };
  return [placed(scales, 4, { matrix }), placed(biases, 4, { matrix }), placed(values, 8, { matrix, isShared: true })];
}

test('a weight that is refused is told when all was read, and only where the source has nothing to say', async () => {
  const wrong = () => {
    throw new Error('not the weight that it has to be');
  };
  async function* cutShort() {
    yield new Uint8Array(8);
    throw new Error('the file is cut short');
  }
  const all = [placed(0, 4, { check: wrong }), placed(4, 8)];
  const into = new Uint8Array(12);
  await expect(copyChunks(all, cutShort(), into)).rejects.toThrow('the file is cut short');
  await expect(copyChunks(all, cut(new Uint8Array(12), [5]), into)).rejects.toThrow('not the weight');
});

test('every byte arrives at its place, however the file is cut and whatever lies between weights', async () => {
  const lengths = fc.array(fc.record({ gap: fc.nat(9), length: fc.nat(40) }), { minLength: 1, maxLength: 12 });
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(lengths, sizes, async (weights, cuts) => {
      let end = 0;
      const all = weights.map(({ gap, length }) => {
        const start = end + gap;
        end = start + length;
        return placed(start, length);
      });
      const file = Uint8Array.from({ length: end + 3 }, (_, i) => (i * 37 + 1) % 251);
      const [chunked, whole] = [new Uint8Array(end), new Uint8Array(end)];
      await copyChunks(all, cut(file, cuts), chunked);
      copyWhole(all, file, whole);
      expect(chunked).toEqual(whole);
      for (const { at, tensor } of all) {
        const { start = 0, length = 0 } = tensor.outside ?? {};
        expect(chunked.subarray(at, at + length)).toEqual(file.subarray(start, start + length));
      }
    }),
    { numRuns: 200, seed: 20261127 },
  );
});

test.each<[string, Placed[], boolean]>([
  ['each matrix behind the one before', [...matrixAt(0, 8, 12), ...matrixAt(16, 24, 28)], true],
  ['scales before values', [...matrixAt(8, 0, 4), ...matrixAt(24, 16, 20)], true],
  ['a bias behind the next matrix', [...matrixAt(0, 8, 24), ...matrixAt(12, 20, 28)], false],
  ['two weights that share bytes', [placed(0, 8), placed(4, 8)], false],
  ['a scale that is in the graph', matrixAt(0, 8, 12).map((part, at) => (at === 0 ? inGraph(part) : part)), false],
])('%s: in order or not', (_, all, expected) => {
  expect(areInOrder(all)).toBe(expected);
});

function inGraph(part: Placed): Placed {
  return { ...part, tensor: { ...part.tensor, bytes: new Uint8Array(4), outside: undefined } };
}
