// Reads quantised tables: token embeddings of a transformer, those of the static tier and their projection.
import type { QuantizedTable } from '../../contracts/src/model/manifest.ts';

export interface Table {
  /** Adds row `id`, times its scale, onto `target`. */
  addRow(id: number, target: Float32Array, options?: AddOptions): void;
  /** The table as a matrix: `vector`, which has a number for each row, times it. */
  product(vector: Float32Array): Float32Array;
  width: number;
}

interface AddOptions {
  /** Where in the target the row begins; absent: at its start. */
  at?: number;
}

/** Rows that a product adds at once: the sum so far is read and written once for all of them, which is most of the time. */
const AT_ONCE = 4;

export function openTable(table: QuantizedTable, file: ArrayBuffer): Table {
  requireTableBytes(table, file.byteLength);
  const { rows, width } = table;
  const values = new Int8Array(file, 0, rows * width);
  const scales = new Float32Array(file.slice(rows * width));
  return {
    width,
    addRow(id, target, { at = 0 } = {}) {
      const scale = scales[id];
      if (scale === undefined) throw new RangeError(`token ${id} is outside the table of ${rows} rows`);
      const from = id * width;
      for (let i = 0; i < width; i++) target[at + i] = (target[at + i] ?? 0) + (values[from + i] ?? 0) * scale;
    },
    product(vector) {
      const sum = new Float32Array(width);
      const factor = (row: number) => (scales[row] ?? 0) * (vector[row] ?? 0);
      for (let row = 0; row < rows; row += AT_ONCE) {
        // Past the last row the factors are 0. Four values by a function of their number took twice the time.
        const [a, b, c, d] = [factor(row), factor(row + 1), factor(row + 2), factor(row + 3)];
        for (let i = 0, at = row * width; i < width; i++, at++) {
          sum[i] =
            (sum[i] ?? 0) +
            (values[at] ?? 0) * a +
            (values[at + width] ?? 0) * b +
            (values[at + 2 * width] ?? 0) * c +
            (values[at + 3 * width] ?? 0) * d;
        }
      }
      return sum;
    },
  };
}

/** Throws unless a file of so many bytes holds the table: its values, and behind them a scale for each row. */
export function requireTableBytes({ rows, width }: QuantizedTable, found: number): void {
  const bytes = rows * width + rows * 4;
  if (found !== bytes) throw new Error(`a table of ${rows} x ${width} has ${bytes} bytes, not ${found}`);
}
