// The kernels alone, at the end of their memory, where a read beyond what they were given traps: against whole numbers and
// double precision.
import { describe, expect, test } from 'vitest';
import { FINISH, type Kernels, start } from '../../../../api/text/wasm/kernels.ts';
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

describe.each(MODULES)('%s', (file) => {
  const pages = 4;
  const { kernels, memory } = start(moduleOf(file), pages) as { kernels: Kernels; memory: WebAssembly.Memory };
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

  test.each(Object.keys(WEIGHTS))('products are those of whole numbers, with weights that are %s', (kind) => {
    const random = randoms(7);
    const [depth, width] = [72, 32];
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

    for (let rows = 1; rows <= 9; rows++) {
      const [x, q, info, out] = [8192, 16_384, 24_576, 32_768];
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

  test.each([
    { size: 8, heads: 3, causal: 0 },
    { size: 32, heads: 2, causal: 0 },
    { size: 64, heads: 1, causal: 1 },
    { size: 16, heads: 2, causal: 1 },
  ])('attention of $heads x $size, causal $causal, is that of double precision', ({ size, heads, causal }) => {
    const width = size * heads;
    const random = randoms(3);
    for (const tokens of [1, 2, 3, 4, 5, 7, 8, 9, 16, 21]) {
      const rounded = Math.ceil(tokens / 8) * 8;
      const scratch = end - (2 * size * rounded + 4 * (rounded + 4)) * 4;
      const [qkv, out] = [4096, 131_072];
      // What texts before have left behind.
      floats.fill(Number.NaN, scratch / 4);
      for (let i = 0; i < tokens * width * 3; i++) floats[qkv / 4 + i] = random() * 4;
      const at = (token: number, part: number, n: number) =>
        floats[qkv / 4 + token * 3 * width + part * width + n] ?? 0;
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
            expect(floats[out / 4 + query * width + head + d]).toBeCloseTo(wanted, 4);
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
