// Reads the quantised table of token embeddings, which the student and the static tier share.
import type { QuantizedTable } from '../../contracts/src/model/manifest.ts';

export interface Table {
  /** Adds row `id`, times its scale, onto `target` from `offset` on. */
  addRow(id: number, target: Float32Array, offset: number): void;
  width: number;
}

export function openTable({ rows, width }: QuantizedTable, file: ArrayBuffer): Table {
  if (file.byteLength !== rows * width + rows * 4) {
    throw new Error(`a table of ${rows} x ${width} has ${rows * width + rows * 4} bytes, not ${file.byteLength}`);
  }
  const values = new Int8Array(file, 0, rows * width);
  const scales = new Float32Array(file.slice(rows * width));
  return {
    width,
    addRow(id, target, offset) {
      const scale = scales[id];
      if (scale === undefined) throw new RangeError(`token ${id} is outside the table of ${rows} rows`);
      const from = id * width;
      for (let i = 0; i < width; i++) target[offset + i] = (target[offset + i] ?? 0) + (values[from + i] ?? 0) * scale;
    },
  };
}
