// Reads quantised tables: token embeddings of a transformer, those of the static tier and their projection.
import type { QuantizedTable } from '../../contracts/src/model/manifest.ts';

export interface Table {
  /** Adds row `id`, times its scale, onto `target`. */
  addRow(id: number, target: Float32Array, options?: AddOptions): void;
  width: number;
}

interface AddOptions {
  /** Where in the target the row begins; absent: at its start. */
  at?: number;
  /** What the row is multiplied with beside its scale; absent: 1. */
  factor?: number | undefined;
}

export function openTable({ rows, width }: QuantizedTable, file: ArrayBuffer): Table {
  if (file.byteLength !== rows * width + rows * 4) {
    throw new Error(`a table of ${rows} x ${width} has ${rows * width + rows * 4} bytes, not ${file.byteLength}`);
  }
  const values = new Int8Array(file, 0, rows * width);
  const scales = new Float32Array(file.slice(rows * width));
  return {
    width,
    addRow(id, target, { at = 0, factor = 1 } = {}) {
      const own = scales[id];
      if (own === undefined) throw new RangeError(`token ${id} is outside the table of ${rows} rows`);
      const scale = own * factor;
      const from = id * width;
      for (let i = 0; i < width; i++) target[at + i] = (target[at + i] ?? 0) + (values[from + i] ?? 0) * scale;
    },
  };
}
