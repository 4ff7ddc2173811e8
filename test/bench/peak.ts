// Measures the most that this machine does of relaxed SIMD's product of bytes: sums in registers, nothing stored, in two forms.
import { ownCpuMs } from './process.ts';

/** Multiplications and additions of one such product. */
const PRODUCT = 16;
/** Operands of weights in a round of the loop, each multiplied with all activations, each product summed on its own. */
const WEIGHTS = 2;
const ROUNDS = 500_000;
const TRIES = 12;

type Code = (number | Code)[];

const V128 = 0x7b;
const I32 = 0x7f;
const simd = (opcode: number): Code => [0xfd, ...leb(opcode)];
const OP = {
  get: (local: number): Code => [0x20, local],
  set: (local: number): Code => [0x21, local],
  i32Const: (value: number): Code => [0x41, value],
  /** From a place that changes with every round: to the compiler no product is that of a round before. */
  load: (offset: number): Code => [...simd(0), 4, ...leb(offset)],
  i32And: 0x71,
  i16x8Splat: simd(0x10),
  i32x4Add: simd(0xae),
  i32x4ExtractLane0: [...simd(0x1b), 0],
  i32x4DotI16x8: simd(0xba),
  i16x8RelaxedDot: simd(0x112),
  i32x4RelaxedDotAdd: simd(0x113),
} satisfies Record<string, number | Code | ((value: number) => Code)>;

interface Form {
  /** Operands of activations in a round: as many as leave all sums in registers, so that few wait for those before them. */
  activations: number;
  sum(locals: { sum: number; weights: number; activation: number; ones: number }): Code;
}

/** The two ways to sum products of bytes in int32: a product, widened and added; or one instruction, where there is one. */
const FORMS: Record<string, Form> = {
  widened: {
    activations: 4,
    sum: ({ sum, weights, activation, ones }) => [
      OP.get(sum),
      ...[OP.get(weights), OP.get(activation), OP.i16x8RelaxedDot],
      ...[OP.get(ones), OP.i32x4DotI16x8],
      OP.i32x4Add,
    ],
  },
  accumulating: {
    activations: 6,
    sum: ({ sum, weights, activation }) => [
      ...[OP.get(weights), OP.get(activation), OP.get(sum)],
      OP.i32x4RelaxedDotAdd,
    ],
  },
};

/** Multiplications and additions a second, in 10^9, of the faster form. */
export function measurePeak(): number {
  return Math.max(...Object.values(FORMS).map(rateOf));
}

function rateOf(form: Form): number {
  const compiled = Reflect.construct(WebAssembly.Module, [moduleOf(form)]) as WebAssembly.Module;
  const { run } = new WebAssembly.Instance(compiled, {}).exports as { run(rounds: number, one: number): number };
  const work = ROUNDS * WEIGHTS * form.activations * PRODUCT;
  let best = 0;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const before = ownCpuMs();
    run(ROUNDS, 1);
    best = Math.max(best, work / (ownCpuMs() - before) / 1e6);
  }
  return best;
}

/** `run(rounds, one)`: so many rounds of the loop. */
function moduleOf(form: Form): Uint8Array {
  const [rounds, one] = [0, 1];
  const weights = range(WEIGHTS, 2);
  const [activation, ones] = [2 + WEIGHTS, 3 + WEIGHTS];
  const sums = range(WEIGHTS * form.activations, ones + 1);
  /** Sets a local from a place that changes with every round. */
  const loaded = (local: number, place: number): Code => [
    ...[OP.get(rounds), OP.i32Const(63), OP.i32And],
    ...[OP.load(place), OP.set(local)],
  ];
  const body: Code = [
    // Unknown, or products would be computed before the loop.
    ...[OP.get(one), OP.i16x8Splat, OP.set(ones)],
    [0x03, 0x40],
    ...weights.map((local, number) => loaded(local, 64 * number)),
    ...sums.map((sum, number) => [
      ...(number % WEIGHTS === 0 ? loaded(activation, 64 * (number / WEIGHTS + WEIGHTS)) : []),
      ...form.sum({ sum, weights: weights[number % WEIGHTS] ?? 0, activation, ones }),
      OP.set(sum),
    ]),
    // The loop again while rounds - 1, tee'd, is not 0.
    ...[OP.get(rounds), OP.i32Const(1), 0x6b, [0x22, rounds], [0x0d, 0], 0x0b],
    OP.get(sums[0] ?? 0),
    ...sums.slice(1).flatMap((sum) => [OP.get(sum), OP.i32x4Add]),
    OP.i32x4ExtractLane0,
    0x0b,
  ];
  const locals = [1, ...leb(sums.length + ones - 1), V128];
  const code = [...locals, ...flat(body)];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 2, I32, I32, 1, I32]),
    ...section(3, [1, 0]),
    // A memory of one page, full of zeros.
    ...section(5, [1, 0, 1]),
    ...section(7, [1, 3, ...new TextEncoder().encode('run'), 0x00, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

function section(id: number, content: number[]): number[] {
  return [id, ...leb(content.length), ...content];
}

/** Unsigned, as WebAssembly writes numbers: https://webassembly.github.io/spec/core/binary/values.html */
function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >> 7)];
}

function flat(code: Code): number[] {
  return code.flatMap((each) => (typeof each === 'number' ? [each] : flat(each)));
}

const range = (count: number, from: number): number[] => Array.from({ length: count }, (_, i) => from + i);
