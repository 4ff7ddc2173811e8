// Sums of the static tier's rows by the kernels: against the same sums in TypeScript, at the end of their memory.
import { describe, expect, test } from 'vitest';
import { sumsOf } from '../../../../api/text/static/encode.ts';
import { openTable } from '../../../../api/text/table.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import { MODULES, moduleOf } from './models.ts';

/** Whole numbers that look random, the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state >>> 8;
  };
}

interface Written {
  table: { file: { path: string; digest: string; size: number }; rows: number; width: number };
  bytes: ArrayBuffer;
}

function written(path: string, rows: number, width: number): Written {
  const next = numbers(rows + width);
  const bytes = new Uint8Array(rows * width + rows * 4);
  for (let i = 0; i < rows * width; i++) bytes[i] = next();
  const scales = Float32Array.from({ length: rows }, () => (next() % 1000) / 1e5);
  bytes.set(new Uint8Array(scales.buffer), rows * width);
  return { table: { file: { path, digest: '', size: bytes.length }, rows, width }, bytes: bytes.buffer };
}

describe.each(MODULES)('%s', (file) => {
  const { openSums } = createWasmEngine({ module: moduleOf(file) });

  async function both(table: Written, projection?: Written) {
    const files = new Map([table, projection].flatMap((each) => (each ? [[each.table.file.path, each.bytes]] : [])));
    const read = async ({ path }: { path: string }) => (files.get(path) ?? new ArrayBuffer()).slice(0);
    const own = await openSums?.({ table: table.table, projection: projection?.table }, read);
    const plain = sumsOf(
      openTable(table.table, table.bytes),
      projection && openTable(projection.table, projection.bytes),
    );
    return { own, plain };
  }

  test.each([
    { rows: 50, width: 160, output: 512 },
    { rows: 7, width: 8, output: 8 },
    { rows: 3, width: 24, output: 40 },
    { rows: 20, width: 72, output: undefined },
  ])('rows of $width numbers, projected to $output, have the sums that TypeScript has', async (shape) => {
    const { rows, width, output } = shape;
    const { own, plain } = await both(
      written('rows', rows, width),
      output ? written('matrix', width, output) : undefined,
    );
    const next = numbers(11);
    for (const count of [0, 1, 2, 16, 77, 511, 512, 513, 1500]) {
      const ids = Array.from({ length: count }, () => next() % rows);
      const [sum = new Float32Array(), wanted] = [own?.sum(ids), plain.sum(ids)];
      expect(sum).toHaveLength(output ?? width);
      const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (const [i, value] of wanted.entries()) {
        expect(Math.abs((sum[i] ?? Number.NaN) - value), `${count} ids`).toBeLessThanOrEqual(2e-5 * largest);
      }
    }
    // The last row, whose end is that of the table.
    expect(own?.sum([rows - 1]).length).toBe(output ?? width);
  });

  test('an id outside the table is refused, and the sum after it is as before', async () => {
    const { own } = await both(written('rows', 5, 16));
    const before = own?.sum([0, 4]).slice();
    for (const id of [-1, 5, 1.5, Number.NaN]) expect(() => own?.sum([0, id])).toThrow(RangeError);
    expect(own?.sum([0, 4])).toEqual(before);
  });

  test('widths that are no multiple of 8 are left to TypeScript, and files of another size refused', async () => {
    expect((await both(written('rows', 5, 12))).own).toBeUndefined();
    expect((await both(written('rows', 5, 16), written('matrix', 16, 20))).own).toBeUndefined();
    const [table, other] = [written('rows', 5, 16), written('rows', 5, 24)];
    await expect(both({ ...table, bytes: other.bytes })).rejects.toThrow('a table of 5 x 16 has 100 bytes, not 140');
    await expect(both(table, written('matrix', 24, 16))).rejects.toThrow('a projection of 16 numbers has as many rows');
  });
});
