// The kernels alone, at the end of their memory, where a read beyond what they were given traps: against whole numbers and
// double precision.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { comparesAddresses, FINISH, type Kernels, LOOPS, start } from '../../../../api/text/wasm/kernels.ts';
import { chooseBuild, hasRelaxedSimd } from '../../../../api/text/wasm/modules.ts';
import { MODULES, moduleOf } from './models.ts';

const PAGE = 65_536;

/** Numbers of -1..1, the same for the same seed. */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
}

/** The largest whole number of which so many squares fit int32. */
const fitting = (size: number): number => Math.floor(Math.sqrt((2 ** 31 - 1) / size));

/** The distribution function of the normal distribution, by its power series. */
function normal(x: number): number {
  if (Math.abs(x) > 6) return x > 0 ? 1 : 0;
  let [term, sum] = [x, x];
  for (let n = 1; n < 150; n++) {
    term *= -(x * x) / 2 / n;
    sum += term / (2 * n + 1);
  }
  return 0.5 + sum / Math.sqrt(2 * Math.PI);
}

// With all loops, whichever this host would choose; the build without relaxed SIMD has none that accumulates.
const BUILDS = MODULES.flatMap((file) =>
  LOOPS.filter((loop) => file.includes('relaxed') || loop !== 'accumulating').map((loop) => ({ file, loop })),
);
describe.each(BUILDS)('$file, loop $loop', ({ file, loop }) => {
  const pages = 4;
  const { kernels, memory } = start(moduleOf(file), pages, loop) as { kernels: Kernels; memory: WebAssembly.Memory };
  const bytes = new Uint8Array(memory.buffer);
  const floats = new Float32Array(memory.buffer);
  /** Everything after that address is the kernel's own; the last of it is the last of memory. */
  const end = pages * PAGE;

  /** int8 weights that are as large as they may be, so that sums of few of them leave int16, beside ordinary ones. */
  const WEIGHTS: Record<string, (random: () => number) => number> = {
    ordinary: (random) => Math.round(random() * random() * 127),
    'of one sign': (random) => Math.round(64 + 63 * random()),
    largest: () => 127,
    smallest: () => -128,
    'of both extremes': (random) => (random() < 0 ? -128 : 127),
  };

  // Marks of weights are read sixteen at a time, then one by one: 72 rows have nine, 264 have two times sixteen and one.
  const PRODUCTS = [72, 264].flatMap((depth) => Object.keys(WEIGHTS).map((kind) => [depth, kind] as const));
  test.each(PRODUCTS)('products of %i rows are those of whole numbers, with weights that are %s', (depth, kind) => {
    const random = randoms(7);
    const width = 32;
    const weights = Array.from({ length: depth * width }, () => WEIGHTS[kind]?.(random) ?? 0);
    const scales = Array.from({ length: width }, (_, n) => 0.001 * (n + 1));
    const biases = Array.from({ length: width }, (_, n) => n - 3);
    const matrix = end - (depth * width + 3 * 4 * width + (depth / 8) * (width / 8));
    floats.set(scales, (matrix + depth * width) / 4);
    floats.set(biases, (matrix + depth * width + 2 * 4 * width) / 4);
    bytes.set(
      weights.map((weight) => weight + 128),
      4096,
    );
    kernels.pack(4096, depth, width, matrix);
    kernels.arrange(matrix, depth, width);

    // In tiles and blocks that are whole and that are not.
    for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 17, 19, 20, 23, 24, 25, 49]) {
      const x = 16_384;
      const q = x + 49 * depth * 4;
      const [info, out] = [q + 50 * depth * 2, q + 52 * depth * 2];
      // 0 and 1 in each row, so that its range is known; most of the others are at its end.
      const activation = () => (random() > 0 ? 1 : Math.abs(random()));
      for (let i = 0; i < rows * depth; i++) floats[x / 4 + i] = i % depth < 2 ? i % depth : activation();
      kernels.quantize(x, rows, depth, q, info);
      kernels.multiply(q, info, rows, matrix, depth, width, out, width * 4, FINISH.store);
      const narrow = file.includes('relaxed');
      const whole = narrow ? new Uint8Array(memory.buffer, q) : new Int16Array(memory.buffer, q);
      for (let row = 0; row < rows; row++) {
        const [scale = 0, low = 0] = [floats[info / 4 + 2 * row], floats[info / 4 + 2 * row + 1]];
        for (let n = 0; n < width; n++) {
          let [product, sum] = [0, 0];
          for (let k = 0; k < depth; k++) {
            product += (whole[row * depth + k] ?? 0) * (weights[k * width + n] ?? 0);
            sum += weights[k * width + n] ?? 0;
          }
          const wanted = (scales[n] ?? 0) * (scale * product + low * sum) + (biases[n] ?? 0);
          expect(Math.abs((floats[out / 4 + row * width + n] ?? 0) - wanted)).toBeLessThan(
            1e-5 * (40 + Math.abs(wanted)),
          );
        }
      }
    }
  });

  test.each([8, 32, 40, 72, 96])('a product with %i columns of float32 is added to what is there', (width) => {
    const random = randoms(5);
    const depth = 24;
    const [rows, x, out, matrix] = [4096, 2048, end - width * 4, 65_536];
    const place = (at: number, length: number) => {
      for (let i = 0; i < length; i++) floats[at / 4 + i] = random();
      return Float64Array.from(floats.subarray(at / 4, at / 4 + length));
    };
    const [weights, numbers, before] = [place(rows, depth * width), place(x, depth), place(out, width)];
    kernels.divide(rows, depth, width, matrix);
    kernels.addProduct(x, matrix, depth, width, out);
    for (let n = 0; n < width; n++) {
      let wanted = before[n] ?? 0;
      for (let k = 0; k < depth; k++) wanted += (numbers[k] ?? 0) * (weights[k * width + n] ?? 0);
      expect(Math.abs((floats[out / 4 + n] ?? Number.NaN) - wanted)).toBeLessThan(1e-5);
    }
  });

  test.each([
    { finish: FINISH.gelu, exactness: 2e-5, gelu: (x: number) => x * normal(x) },
    { finish: FINISH.quickGelu, exactness: 2e-6, gelu: (x: number) => x / (1 + Math.exp(-1.702 * x)) },
    {
      finish: FINISH.geluTanh,
      exactness: 2e-6,
      gelu: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    },
  ])('GELU number $finish is within $exactness of its definition', ({ finish, exactness, gelu }) => {
    const [depth, width, rows] = [8, 2048, 4];
    const [x, q, info, matrix, out] = [4096, 8192, 12_288, 16_384, 65_536];
    // Weights are zeros, so that biases are what the function is given.
    floats.fill(0, x / 4, out / 4 + rows * width);
    const biases = Array.from({ length: width }, (_, n) => Math.fround((n - width / 2) / 64));
    floats.set(biases, (matrix + depth * width + 2 * 4 * width) / 4);
    kernels.quantize(x, rows, depth, q, info);
    kernels.multiply(q, info, rows, matrix, depth, width, out, width * 4, finish);
    for (let row = 0; row < rows; row++) {
      for (const [n, bias] of biases.entries()) {
        const found = floats[out / 4 + row * width + n] ?? Number.NaN;
        expect(Math.abs(found - gelu(bias)), `${bias}`).toBeLessThan(exactness * Math.max(1, Math.abs(bias)));
      }
    }
  });

  test.each([
    { size: 8, heads: 3, causal: 0 },
    { size: 32, heads: 2, causal: 0 },
    { size: 64, heads: 1, causal: 1 },
    { size: 16, heads: 2, causal: 1 },
  ])('attention of $heads x $size, causal $causal, is that of its numbers as int16', ({ size, heads, causal }) => {
    const width = size * heads;
    const random = randoms(3);
    for (const tokens of [1, 2, 3, 4, 5, 7, 8, 9, 16, 21]) {
      const rounded = Math.ceil(tokens / 8) * 8;
      const scratch = end - (size * (2 * rounded + 4) * 2 + 4 * (rounded + 4) * 4);
      const [qkv, out] = [4096, 131_072];
      // What texts before have left behind.
      floats.fill(Number.NaN, scratch / 4);
      for (let i = 0; i < tokens * width * 3; i++) floats[qkv / 4 + i] = random() * 4;
      const given = (token: number, part: number, n: number) =>
        floats[qkv / 4 + token * 3 * width + part * width + n] ?? 0;
      // As attention has them: queries each by their largest number, keys and values by that of the text's whole head.
      const limits = [fitting(size), fitting(size), 32_767];
      const scales = Array.from({ length: heads }, (_, head) =>
        [0, 1, 2].map((part) =>
          Array.from({ length: tokens }, (_, token) =>
            Math.max(...Array.from({ length: size }, (_, d) => Math.abs(given(token, part, head * size + d)))),
          ),
        ),
      );
      const at = (token: number, part: number, n: number): number => {
        const largest = scales[Math.floor(n / size)]?.[part] ?? [];
        const most = part === 0 ? (largest[token] ?? 0) : Math.max(...largest);
        // In single precision, as there, or numbers half-way between two become the other one.
        const scale = Math.fround(most / (limits[part] ?? 1));
        return Math.round(Math.fround(given(token, part, n) * Math.fround(1 / scale))) * scale;
      };
      // In two calls, as chunks are.
      const half = tokens >> 1;
      for (const [first, count] of [
        [0, half],
        [half, tokens - half],
      ] as const) {
        const to = out + first * width * 4;
        if (count) kernels.attend(qkv, 3 * width * 4, tokens, first, count, heads, size, causal, to, scratch);
      }
      for (let query = 0; query < tokens; query++) {
        for (let head = 0; head < width; head += size) {
          const scores = Array.from({ length: causal ? query + 1 : tokens }, (_, key) => {
            let score = 0;
            for (let d = 0; d < size; d++) score += at(query, 0, head + d) * at(key, 1, head + d);
            return Math.exp(score / Math.sqrt(size));
          });
          const total = scores.reduce((sum, score) => sum + score);
          for (let d = 0; d < size; d++) {
            const wanted = scores.reduce((sum, score, key) => sum + (score / total) * at(key, 2, head + d), 0);
            // Weights are int16, too: each is wrong by up to 2^-16 of their sum.
            const found = floats[out / 4 + query * width + head + d] ?? Number.NaN;
            expect(Math.abs(found - wanted)).toBeLessThan(4 * 2 ** -13);
          }
        }
      }
    }
  });
});

test('the build with relaxed SIMD is taken where it can be compiled, and only there', () => {
  const [plain = '', relaxed = ''] = MODULES;
  expect(hasRelaxedSimd()).toBe(true);
  expect(chooseBuild({ relaxed, plain })).toBe('encoder.relaxed.wasm');
  expect(chooseBuild({ relaxed, plain }, () => false)).toBe('encoder.wasm');
});

test('a host whose memory ends in pages that trap does not compare addresses', () => {
  expect(comparesAddresses()).toBe(false);
});

/** What Linux says of this machine's processor; elsewhere nothing. */
const CPU = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
test.skipIf(!/avx2|asimd/.test(CPU))('products accumulate where the processor has an instruction for it', () => {
  const [plain = '', relaxed = ''] = MODULES;
  const has = /avx_vnni|asimd/.test(CPU);
  expect(start(moduleOf(relaxed), 4).loop).toBe(has ? 'accumulating' : 'straight');
  expect(start(moduleOf(plain), 4).loop).toBe('straight');
});
