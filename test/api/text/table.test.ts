// Rows of a table whose file lies in parts: the same rows as of the whole file, of which only those parts are read that hold them.
import { expect, test } from 'vitest';
import type { ReadArtefact } from '../../../api/text/engine.ts';
import { openRows, openTable } from '../../../api/text/table.ts';
import { createWasmEngine } from '../../../api/text/wasm/engine.ts';
import type { FilePart } from '../../../contracts/src/model/artefact.ts';
import { moduleOf } from './wasm/models.ts';

const [ROWS, WIDTH] = [100, 8];
/** Of 7 rows: 14 parts of rows and a last one, which begins with two rows; scales are in four of them. */
const PART = 7 * WIDTH;

const bytes = new Uint8Array(ROWS * WIDTH + ROWS * 4);
for (let i = 0; i < ROWS * WIDTH; i++) bytes[i] = (i * 37) % 251;
bytes.set(new Uint8Array(Float32Array.from({ length: ROWS }, (_, row) => (row + 1) / 64).buffer), ROWS * WIDTH);
const table = { file: { path: 'table.bin', digest: '', size: bytes.length }, rows: ROWS, width: WIDTH };

/** `part`: bytes of each. `asked`: where the parts begin that were read. */
function reading(part = PART) {
  const asked: number[] = [];
  const faults = new Set<number>();
  const parts = (): FilePart[] =>
    Array.from({ length: Math.ceil(bytes.length / part) }, (_, number) => {
      const [from, to] = [number * part, Math.min(bytes.length, (number + 1) * part)];
      return {
        from,
        to,
        async read() {
          asked.push(from);
          if (faults.delete(from)) throw new Error('the network is down');
          return bytes.slice(from, to).buffer;
        },
      };
    });
  const whole = async () => bytes.slice().buffer;
  const read: ReadArtefact = Object.assign(whole, { parts });
  return { asked, faults, read };
}

const rowOf = (rows: { addRow(id: number, target: Float32Array): void }, id: number): Float32Array => {
  const target = new Float32Array(WIDTH);
  rows.addRow(id, target);
  return target;
};

test('rows are those of the whole file, and each part is read once', async () => {
  const { asked, read } = reading();
  const [rows, whole] = [await openRows(table, read), openTable(table, bytes.slice().buffer)];
  expect(asked).toEqual([]);
  for (const ids of [[[3, 99], [4]], [[98, 13, 14]], [Array.from({ length: ROWS }, (_, id) => id)]]) {
    await rows.need?.(ids);
    for (const id of ids.flat()) expect(rowOf(rows, id), `row ${id}`).toEqual(rowOf(whole, id));
  }
  expect(asked.length).toBe(Math.ceil(bytes.length / PART));
  expect(new Set(asked).size).toBe(asked.length);
  expect(rows.need?.([[0, 50, 99]])).toBeUndefined();
});

test('a text reads the parts of its rows and of their scales, and no others', async () => {
  const { asked, read } = reading();
  const rows = await openRows(table, read);
  await rows.need?.([[0, 6], [], [20]]);
  const scaleOf = (id: number) => Math.floor((ROWS * WIDTH + id * 4) / PART) * PART;
  expect(new Set(asked)).toEqual(new Set([0, 2 * PART, scaleOf(0), scaleOf(20)]));
  expect(() => rowOf(rows, 7)).toThrow('the row of token 7 was not read');
});

test('ids outside the table need nothing and are refused', async () => {
  const { asked, read } = reading();
  const rows = await openRows(table, read);
  expect(rows.need?.([[-1, ROWS, Number.NaN]])).toBeUndefined();
  expect(asked).toEqual([]);
  expect(() => rowOf(rows, ROWS)).toThrow(`token ${ROWS} is outside the table of ${ROWS} rows`);
});

test('a part that could not be read is read by the next text that needs it; who waits at once reads it, too', async () => {
  const { asked, faults, read } = reading();
  const rows = await openRows(table, read);
  faults.add(0);
  await expect(rows.need?.([[1]])).rejects.toThrow('the network is down');
  await Promise.all([rows.need?.([[1]]), rows.need?.([[2]])]);
  expect(asked.filter((from) => from === 0)).toHaveLength(3);
  expect(rowOf(rows, 2)).toEqual(rowOf(openTable(table, bytes.slice().buffer), 2));
});

test.each([WIDTH + 1, bytes.length])('a file in parts of %i bytes is read as a whole', async (part) => {
  const { asked, read } = reading(part);
  const rows = await openRows(table, read);
  expect(rows.need).toBeUndefined();
  expect(rowOf(rows, 99)).toEqual(rowOf(openTable(table, bytes.slice().buffer), 99));
  expect(asked).toEqual([]);
});

test('sums of the module are those of the whole file', async () => {
  const { openSums } = createWasmEngine({ module: moduleOf('encoder.wasm') });
  const { asked, read } = reading();
  const [sums, whole] = [
    await openSums?.({ table }, read),
    await openSums?.({ table }, async () => bytes.slice().buffer),
  ];
  for (const ids of [[3, 4, 99], [50], Array.from({ length: ROWS }, (_, id) => id)]) {
    await sums?.need?.([ids]);
    expect(sums?.sum(ids)).toEqual(whole?.sum(ids));
  }
  expect(whole?.need).toBeUndefined();
  expect(new Set(asked).size).toBe(Math.ceil(bytes.length / PART));
});
