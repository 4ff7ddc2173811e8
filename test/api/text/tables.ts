// Quantised tables of small whole numbers, so that expected vectors can be written by hand.
import { openTable, type Table } from '../../../api/text/table.ts';

/** Rows of int8 values; `scales` has one number per row. */
export function tableOf(rows: number[][], scales: number[]): Table {
  const width = rows[0]?.length ?? 0;
  const bytes = new Uint8Array(rows.length * width + rows.length * 4);
  bytes.set(Int8Array.from(rows.flat()).map((value) => value));
  bytes.set(new Uint8Array(Float32Array.from(scales).buffer), rows.length * width);
  const file = { path: 'table', digest: '', size: bytes.length };
  return openTable({ file, rows: rows.length, width }, bytes.buffer);
}
