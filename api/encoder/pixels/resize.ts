// Separable bicubic and bilinear with Pillow's fixed-point arithmetic, rows before columns: bit-exact on 8-bit RGB.
// (Pillow 13 starts with the columns where that is cheaper; the twin in towers/preprocess.py asks for rows first.)
import type { Picture } from './decode.ts';
import { type Kernels, openModule, RESERVED } from './kernels.ts';
import { type Interpolation, PAIR_BYTES, type Pairs, PRECISION_BITS, pairsOf, tapsOf } from './taps.ts';

/** The wanted part of the resized image: `width` x `height` pixels from (left, top), black outside of the image. */
export interface Crop {
  left: number;
  top: number;
  width: number;
  height: number;
}
/** The image is resized to `width` x `height`, then cropped. */
export interface Geometry {
  width: number;
  height: number;
  crop: Crop;
  interpolation: Interpolation;
}

/** What rounds a sum to the nearest. */
const HALF = 1 << (PRECISION_BITS - 1);

/** Bytes of the source that are in memory at a time, so that they and their lines stay in the second cache. */
const STRIP_BYTES = 128 * 1024;

/** Bytes that may lie between two places, so that vectors begin where loads are fastest. */
const ALIGNMENT = 64;
const PAGE = 65_536;

/** uint8 [height, width, 3]: the crop of the resized image. Nothing outside of it is computed. */
export function resize(picture: Picture, geometry: Geometry): Uint8Array {
  const { buffer, at } = resizeInMemory(picture, geometry);
  return new Uint8Array(buffer, at.pixels, pixelsIn(geometry.crop) * 3).slice();
}

/** float32 [3, height, width]: of each sample of the crop what `levels`, float32 [3, 256], has for its channel. */
export function resizeToTensor(
  picture: Picture,
  geometry: Geometry,
  { levels, tensor }: { levels: Float32Array; tensor: Float32Array },
): Float32Array {
  const { kernels, buffer, at } = resizeInMemory(picture, geometry);
  new Float32Array(buffer, at.levels).set(levels);
  kernels.normalise(at.pixels, pixelsIn(geometry.crop), at.levels, at.tensor);
  tensor.set(new Float32Array(buffer, at.tensor, tensor.length));
  return tensor;
}

function pixelsIn({ width, height }: Crop): number {
  return width * height;
}

/** What is wanted of the resized image. */
interface Window {
  left: number;
  top: number;
  columns: number;
  rows: number;
}

/**
 * Leaves the crop at `at.pixels` until the next picture. Strips of the source are resized to lines, which are added at once
 * to the output rows that read them, so that memory does not grow with the picture.
 */
function resizeInMemory(picture: Picture, { width, height, crop, interpolation }: Geometry) {
  const [left, top] = [Math.max(0, crop.left), Math.max(0, crop.top)];
  const [right, bottom] = [Math.min(width, crop.left + crop.width), Math.min(height, crop.top + crop.height)];
  const window = { left, top, columns: right - left, rows: bottom - top };
  const columns = pairsOf(tapsOf({ input: picture.width, output: width, from: left, to: right }, interpolation));
  // From even rows on: strips begin and end between pairs of lines.
  const rows = pairsOf(tapsOf({ input: picture.height, output: height, from: top, to: bottom }, interpolation), 2);
  const memory = layOut(picture.width, { columns, rows, window, pixels: pixelsIn(crop) });
  const { kernels, buffer, at } = memory;

  new Int32Array(buffer, at.starts).set(columns.first.map((pixel) => pixel * 3));
  new Int16Array(buffer, at.columns).set(columns.weights);
  new Int16Array(buffer, at.rows).set(rows.weights);
  new Int32Array(buffer, at.sums, window.rows * memory.linePitch).fill(HALF);
  addLines(picture, memory, { columns, rows });
  new Uint8Array(buffer, at.pixels, pixelsIn(crop) * 3).fill(0);
  for (let row = 0; row < window.rows; row++) {
    const to = at.pixels + ((top - crop.top + row) * crop.width + left - crop.left) * 3;
    kernels.finishRow(at.sums + row * memory.linePitch * 4, window.columns * 3, to);
  }
  return memory;
}

interface Memory {
  kernels: Kernels;
  buffer: ArrayBuffer;
  /** Addresses. */
  at: Record<(typeof PLACES)[number], number>;
  /** Rows of the source that are in memory at a time, an even number. */
  stripRows: number;
  /** Bytes from one line to the next, of which each has a sum. */
  linePitch: number;
}

const PLACES = ['starts', 'columns', 'rows', 'strip', 'lines', 'sums', 'pixels', 'levels', 'tensor'] as const;

interface Plan {
  columns: Pairs;
  rows: Pairs;
  window: Window;
  /** Of the crop. */
  pixels: number;
}

/** The memory of the module, with a place for everything that a picture of that width needs. */
function layOut(width: number, { columns, rows, window, pixels }: Plan): Memory {
  const stripRows = Math.max(2, Math.floor(STRIP_BYTES / (width * 3) / 2) * 2);
  // A pixel is stored with a byte behind it.
  const linePitch = Math.ceil((window.columns * 3 + 1) / 16) * 16;
  const bytes: Record<(typeof PLACES)[number], number> = {
    starts: columns.first.length * 4,
    columns: columns.weights.byteLength,
    rows: rows.weights.byteLength,
    // At the right edge weights are zero, but what they stand for is read.
    strip: stripRows * width * 3 + columns.pairs * 6 + 16,
    lines: stripRows * linePitch,
    sums: window.rows * linePitch * 4,
    pixels: pixels * 3,
    levels: 3 * 256 * 4,
    tensor: pixels * 3 * 4,
  };
  const at: Memory['at'] = { ...bytes };
  let end = RESERVED;
  for (const place of PLACES) {
    at[place] = end;
    end = Math.ceil((end + bytes[place]) / ALIGNMENT) * ALIGNMENT;
  }
  const { kernels, memory } = openModule();
  const missing = Math.ceil((end - memory.buffer.byteLength) / PAGE);
  if (missing > 0) memory.grow(missing);
  return { kernels, buffer: memory.buffer, at, stripRows, linePitch };
}

/** Every row of the source that is read, through the columns' filter and onto the sums. */
function addLines(picture: Picture, memory: Memory, { columns, rows }: Pick<Plan, 'columns' | 'rows'>): void {
  const { kernels, buffer, at, stripRows, linePitch } = memory;
  const bytes = new Uint8Array(buffer);
  const pitch = picture.width * 3;
  const startOf = (row: number): number => rows.first[row] ?? Number.POSITIVE_INFINITY;
  const endOf = (row: number): number => startOf(row) + rows.pairs * 2;
  const end = Math.min(picture.height, endOf(rows.first.length - 1));
  let oldest = 0;
  for (let y = startOf(0); y < end; y += stripRows) {
    const count = Math.min(stripRows, end - y);
    bytes.set(picture.pixels.subarray(y * pitch, (y + count) * pitch), at.strip);
    kernels.resizeRows(
      at.strip,
      count,
      pitch,
      at.starts,
      at.columns,
      columns.pairs,
      columns.first.length,
      at.lines,
      linePitch,
    );
    while (endOf(oldest) <= y) oldest++;
    for (let row = oldest; startOf(row) < y + stripRows; row++) {
      const from = Math.max(startOf(row), y);
      const pairs = (Math.min(endOf(row), y + stripRows) - from) / 2;
      const weights = at.rows + (row * rows.pairs + (from - startOf(row)) / 2) * PAIR_BYTES;
      const lines = at.lines + (from - y) * linePitch;
      kernels.addLines(lines, linePitch, weights, pairs, at.sums + row * linePitch * 4, linePitch);
    }
  }
}
