// Sums of the static tier's rows by the kernels: its table as it is, and its projection as float32 in panels of columns.
import type { QuantizedTable } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, RowSums, StaticTables } from '../engine.ts';
import { createPlan, start } from './kernels.ts';

/** Columns that `addProduct` holds in registers at once. Panels of so many are read from their first number to the last. */
const PANEL = 32;
/** Ids that are handed over at once. */
const IDS = 512;

export interface SumsMemory {
  sum: RowSums['sum'];
  /** Of its linear memory. */
  bytes: number;
}

/** Undefined for widths that the kernels do not take. */
export async function openRowSums(
  { table, projection }: StaticTables,
  read: ReadArtefact,
  module: WebAssembly.Module,
): Promise<SumsMemory | undefined> {
  const { rows, width } = table;
  const output = projection?.width ?? width;
  if (width % 8 !== 0 || output % 8 !== 0) return undefined;
  if (projection && projection.rows !== width)
    throw new Error(`a projection of ${width} numbers has as many rows, not ${projection.rows}`);
  const [file, small] = await Promise.all([read(table.file), projection && read(projection.file)]);
  check(table, file);
  const plan = createPlan();
  const values = plan.place(rows * width);
  const scales = plan.place(rows * 4);
  const matrix = plan.place(projection ? width * output * 4 : 0);
  const [numbers, sum, vector] = [plan.place(IDS * 4), plan.place(width * 4), plan.place(output * 4)];
  const { kernels, memory } = start(module, plan.pages());
  const floats = new Float32Array(memory.buffer);
  const ids = new Uint32Array(memory.buffer, numbers, IDS);
  new Uint8Array(memory.buffer).set(new Uint8Array(file, 0, rows * width), values);
  new Uint8Array(memory.buffer).set(new Uint8Array(file, rows * width), scales);
  // In linear memory now. Detaching frees this copy before anything is collected.
  file.transfer();
  if (projection && small) {
    check(projection, small);
    unpack(projection, small, floats.subarray(matrix / 4, matrix / 4 + width * output));
  }
  const [sumAt, vectorAt] = [sum / 4, vector / 4];

  return {
    bytes: memory.buffer.byteLength,
    sum(given) {
      for (const id of given) {
        if (!(id >= 0 && id < rows && Number.isInteger(id)))
          throw new RangeError(`token ${id} is outside the table of ${rows} rows`);
      }
      floats.fill(0, sumAt, sumAt + width);
      for (let from = 0; from < given.length; from += IDS) {
        const count = Math.min(IDS, given.length - from);
        for (let i = 0; i < count; i++) ids[i] = given[from + i] ?? 0;
        kernels.addRows(numbers, count, values, scales, width, sum);
      }
      if (!projection) return floats.subarray(sumAt, sumAt + width);
      floats.fill(0, vectorAt, vectorAt + output);
      for (let column = 0; column < output; column += PANEL) {
        const columns = Math.min(PANEL, output - column);
        kernels.addProduct(sum, 1, matrix + column * width * 4, width, columns, vector + column * 4);
      }
      return floats.subarray(vectorAt, vectorAt + output);
    },
  };
}

function check({ rows, width }: QuantizedTable, { byteLength }: ArrayBuffer): void {
  const bytes = rows * width + rows * 4;
  if (byteLength !== bytes) throw new Error(`a table of ${rows} x ${width} has ${bytes} bytes, not ${byteLength}`);
}

/** A quantised matrix as float32, panel after panel. */
function unpack({ rows, width }: QuantizedTable, file: ArrayBuffer, to: Float32Array): void {
  const values = new Int8Array(file, 0, rows * width);
  const scales = new Float32Array(file.slice(rows * width));
  let at = 0;
  for (let column = 0; column < width; column += PANEL) {
    const end = Math.min(width, column + PANEL);
    for (let row = 0; row < rows; row++) {
      for (let i = column; i < end; i++) to[at++] = (values[row * width + i] ?? 0) * (scales[row] ?? 0);
    }
  }
}
