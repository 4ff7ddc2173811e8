// Reads quantised tables: token embeddings of a transformer, those of the static tier and their projection.
import type { FilePart } from '../../contracts/src/model/artefact.ts';
import type { QuantizedTable } from '../../contracts/src/model/manifest.ts';
import { createDemand, type Demand } from './demand.ts';
import type { ReadArtefact } from './engine.ts';

export interface Rows {
  /** Adds row `id`, times its scale, onto `target`. */
  addRow(id: number, target: Float32Array, options?: AddOptions): void;
  /** To be asked before rows of these ids are added; absent: all of them are there. */
  need?: Demand['need'];
  width: number;
}

export interface Table extends Rows {
  /** The table as a matrix: `vector`, which has a number for each row, times it. */
  product(vector: Float32Array): Float32Array;
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
    ...rowsOf(width, { parts: [values], each: rows, scales }),
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

/** Rows of a table, each read with the first text that needs it where its file is stored in parts of whole rows. */
export async function openRows(table: QuantizedTable, read: ReadArtefact): Promise<Rows> {
  const parts = partsOf(table, read);
  return parts ? openParts(table, parts) : openTable(table, await read(table.file));
}

/** Undefined where the file is stored as one, or a row begins in one part and ends in the next. */
export function partsOf({ file, width }: QuantizedTable, read: ReadArtefact): FilePart[] | undefined {
  const parts = read.parts?.(file) ?? [];
  return parts.length > 1 && parts.every(({ from }) => from % width === 0) ? parts : undefined;
}

function openParts(table: QuantizedTable, parts: FilePart[]): Rows {
  const { rows, width, file } = table;
  requireTableBytes(table, file.size);
  const scales = new Float32Array(rows);
  const held: (Int8Array | undefined)[] = parts.map(() => undefined);
  const { need } = createDemand(table, parts, (bytes, part) => {
    const from = parts[part]?.from ?? 0;
    const behind = Math.max(0, rows * width - from);
    held[part] = new Int8Array(bytes, 0, Math.min(behind, bytes.byteLength));
    const some = new Uint8Array(bytes, Math.min(behind, bytes.byteLength));
    new Uint8Array(scales.buffer).set(some, Math.max(0, from - rows * width));
  });
  return { ...rowsOf(width, { parts: held, each: (parts[0]?.to ?? 0) / width, scales }), need };
}

/** Values and scales of a table, as far as they were read. */
interface ReadRows {
  /** Values of `each` rows and the next ones; undefined where they were not read. */
  parts: (Int8Array | undefined)[];
  each: number;
  scales: Float32Array;
}

function rowsOf(width: number, { parts, each, scales }: ReadRows): Pick<Rows, 'addRow' | 'width'> {
  return {
    width,
    addRow(id, target, { at = 0 } = {}) {
      const scale = scales[id];
      if (scale === undefined) throw new RangeError(`token ${id} is outside the table of ${scales.length} rows`);
      const part = Math.floor(id / each);
      const values = parts[part];
      if (!values) throw new Error(`the row of token ${id} was not read`);
      const from = (id - part * each) * width;
      for (let i = 0; i < width; i++) target[at + i] = (target[at + i] ?? 0) + (values[from + i] ?? 0) * scale;
    },
  };
}

/** Throws unless a file of `found` bytes holds the table: its values, and behind them a scale for each row. */
export function requireTableBytes({ rows, width }: QuantizedTable, found: number): void {
  const bytes = rows * width + rows * 4;
  if (found !== bytes) throw new Error(`a table of ${rows} x ${width} has ${bytes} bytes, not ${found}`);
}
