// Sums of the static tier's rows by the kernels: its table as it is, and its projection as float32 in panels of columns.
import type { QuantizedTable } from '../../../contracts/src/model/manifest.ts';
import { createDemand } from '../demand.ts';
import type { ReadArtefact, RowSums, StaticTables } from '../engine.ts';
import { partsOf, requireTableBytes } from '../table.ts';
import { createPlan, start } from './kernels.ts';
import { loadWeights } from './weights.ts';

/** Ids that are handed over at once. */
const IDS = 512;

export interface SumsMemory extends Pick<RowSums, 'sum' | 'need'> {
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
  for (const each of [table, projection]) if (each) requireTableBytes(each, each.file.size);
  const plan = createPlan();
  const values = plan.place(table.file.size);
  const scales = values + rows * width;
  const matrix = plan.place(projection ? width * output * 4 : 0);
  const small = plan.place(projection ? projection.file.size : 0);
  const [numbers, sum, vector] = [plan.place(IDS * 4), plan.place(width * 4), plan.place(output * 4)];
  const { kernels, memory } = start(module, plan.pages());
  const floats = new Float32Array(memory.buffer);
  const ids = new Uint32Array(memory.buffer, numbers, IDS);
  const [sumAt, vectorAt] = [sum / 4, vector / 4];
  const result = projection ? floats.subarray(vectorAt, vectorAt + output) : floats.subarray(sumAt, sumAt + width);
  /** The file as it is stored: values, and scales behind them. */
  async function load(of: QuantizedTable, at: number): Promise<void> {
    const whole = async () => {
      const bytes = await read(of.file);
      requireTableBytes(of, bytes.byteLength);
      return bytes;
    };
    const reader = Object.assign(whole, { chunks: read.chunks });
    const placed = { tensor: { bytes: new Uint8Array(), outside: { start: 0, length: of.file.size } }, at };
    await loadWeights([placed], { of: of.file, read: reader, into: memory.buffer });
  }
  // Pages of memory that no row is in are never touched.
  const parts = partsOf(table, read);
  const keep = (bytes: ArrayBuffer, part: number) =>
    new Uint8Array(memory.buffer).set(new Uint8Array(bytes), values + (parts?.[part]?.from ?? 0));
  await Promise.all([parts ? undefined : load(table, values), projection && load(projection, small)]);
  if (projection) kernels.unpack(small, width, output, matrix);

  return {
    bytes: memory.buffer.byteLength,
    need: parts && createDemand(table, parts, keep).need,
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
      if (!projection) return result;
      floats.fill(0, vectorAt, vectorAt + output);
      kernels.addProduct(sum, matrix, width, output, vector);
      return result;
    },
  };
}
