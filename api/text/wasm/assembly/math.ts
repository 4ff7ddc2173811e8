// Elementary functions on four numbers at once, as polynomials.
//
// Constants are loaded from memory, and minima are those of processors (`pmin`): of a constant in the code V8 makes a new
// one at every use, and WebAssembly's own `min` takes several instructions for the sake of NaN and -0.

/** Constants at the start of memory, where its host places nothing: see RESERVED in kernels.ts. */
const TABLE = memory.data<f32>([
  126, -126, 12582912, 1.3276472454890609e-3, 9.675540961325169e-3, 5.550713092088699e-2, 2.4022120237350464e-1,
  6.931469440460205e-1, 1.0000001192092896, 1, 4, -4, -2.72614225801306e-10, 2.77068142495902e-8, -2.10102402082508e-6,
  -5.69250639462346e-5, -7.34990630326855e-4, -2.95459980854025e-3, -1.60960333262415e-2, -1.45660718464996e-5,
  -2.13374055278905e-4, -1.68282697438203e-3, -7.37332916720468e-3, -1.42647390514189e-2, 0.5, 0.7071067812,
  -2.455466968, -2.302208198, 0.044715, 9.5701e-3, 5.591786e-2, 2.4024745e-1, 6.9312181e-1, 0.99999926, -64,
]);

// Their numbers in the table. E of the exponential function, P and Q of the error function.
const MOST: usize = 0;
const LEAST: usize = 1;
const WHOLE: usize = 2;
const E0: usize = 3;
const E1: usize = 4;
const E2: usize = 5;
const E3: usize = 6;
const E4: usize = 7;
const E5: usize = 8;
const ONE: usize = 9;
const FOUR: usize = 10;
const MINUS_FOUR: usize = 11;
const P0: usize = 12;
const P1: usize = 13;
const P2: usize = 14;
const P3: usize = 15;
const P4: usize = 16;
const P5: usize = 17;
const P6: usize = 18;
const Q0: usize = 19;
const Q1: usize = 20;
const Q2: usize = 21;
const Q3: usize = 22;
const Q4: usize = 23;
const HALF: usize = 24;
const ROOT_HALF: usize = 25;
const QUICK: usize = 26;
const TANH: usize = 27;
const CUBIC: usize = 28;
const W0: usize = 29;
const W1: usize = 30;
const W2: usize = 31;
const W3: usize = 32;
const W4: usize = 33;
const NOTHING: usize = 34;

function constant(number: usize): v128 {
  return v128.load32_splat(TABLE + (number << 2));
}

/** x y + z; with relaxed SIMD in one instruction where the processor has it, which rounds once and not twice. */
export function fused(x: v128, y: v128, z: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(x, y, z) : f32x4.add(f32x4.mul(x, y), z);
}

/** x y + the constant of that number. */
function step(x: v128, y: v128, number: usize): v128 {
  return fused(x, y, constant(number));
}

/** Nearest whole numbers of numbers within ±2^22, halves to even, as integers. */
export function whole(x: v128): v128 {
  // Added to 1.5 x 2^23 a number is rounded, and the last bits of the sum are the integer.
  const magic = constant(WHOLE);
  return i32x4.sub(f32x4.add(x, magic), magic);
}

/**
 * 2^x within 2 units in the last place for x up to 126; below -126 the result of -126. The coefficients are those of the
 * least relative error, 7.5e-8, on -1/2..1/2.
 */
export function exp2(given: v128): v128 {
  const x = f32x4.pmax(given, constant(LEAST));
  const magic = constant(WHOLE);
  const shifted = f32x4.add(x, magic);
  const rest = f32x4.sub(x, f32x4.sub(shifted, magic));
  let y = step(constant(E0), rest, E1);
  y = step(y, rest, E2);
  y = step(y, rest, E3);
  y = step(y, rest, E4);
  y = step(y, rest, E5);
  // Times 2^n is n more in the exponent's bits.
  return i32x4.add(y, i32x4.shl(shifted, 23));
}

/**
 * 2^(x scale + shift) of numbers one after the other, in their place, each within 3e-6 of itself: `end` is behind the last of them.
 * Returns their sum, of every fourth number. Below -64 the power is -64, and none may be above 0.
 */
export function powers(from: usize, end: usize, scale: v128, shift: v128): v128 {
  // All that the loop needs is in registers before it begins, which is half of its time.
  const least = constant(NOTHING);
  const magic = constant(WHOLE);
  const first = constant(W0);
  const second = constant(W1);
  const third = constant(W2);
  const fourth = constant(W3);
  const fifth = constant(W4);
  let total = f32x4.splat(0);
  for (; from < end; from += 16) {
    const x = f32x4.pmax(fused(v128.load(from), scale, shift), least);
    const shifted = f32x4.add(x, magic);
    const rest = f32x4.sub(x, f32x4.sub(shifted, magic));
    const y = fused(fused(fused(fused(first, rest, second), rest, third), rest, fourth), rest, fifth);
    const power = i32x4.add(y, i32x4.shl(shifted, 23));
    total = f32x4.add(total, power);
    v128.store(from, power);
  }
  return total;
}

/**
 * Positive numbers times `factor`, rounded to int16, from `from` up to `end` and in eights: written from `from` on, half as
 * long. Returns their sum, of every fourth number, as whole numbers.
 */
export function shares(from: usize, end: usize, factor: v128): v128 {
  const magic = constant(WHOLE);
  let total = i32x4.splat(0);
  for (let to = from; from < end; from += 32, to += 16) {
    const low = i32x4.sub(fused(v128.load(from), factor, magic), magic);
    const high = i32x4.sub(fused(v128.load(from, 16), factor, magic), magic);
    total = i32x4.add(total, i32x4.add(low, high));
    v128.store(to, i16x8.narrow_i32x4_s(low, high));
  }
  return total;
}

/** Error function as x P(x²) / Q(x²) on -4..4, beyond which float32 cannot tell it from ±1. Coefficients of Eigen's. */
function erf(given: v128): v128 {
  const x = f32x4.pmax(f32x4.pmin(given, constant(FOUR)), constant(MINUS_FOUR));
  const s = f32x4.mul(x, x);
  let p = step(constant(P0), s, P1);
  p = step(p, s, P2);
  p = step(p, s, P3);
  p = step(p, s, P4);
  p = step(p, s, P5);
  p = step(p, s, P6);
  let q = step(constant(Q0), s, Q1);
  q = step(q, s, Q2);
  q = step(q, s, Q3);
  q = step(q, s, Q4);
  return f32x4.div(f32x4.mul(x, p), q);
}

/** x Φ(x), with the exact distribution function. */
export function gelu(x: v128): v128 {
  const half = f32x4.mul(x, constant(HALF));
  return f32x4.add(half, f32x4.mul(half, erf(f32x4.mul(x, constant(ROOT_HALF)))));
}

/** x σ(1.702 x), CLIP's approximation. */
export function quickGelu(x: v128): v128 {
  return gated(x, f32x4.mul(x, constant(QUICK)));
}

/** The approximation by tanh, which is x σ(√(8/π) (x + 0.044715 x³)). */
export function geluTanh(x: v128): v128 {
  const cubic = f32x4.mul(f32x4.mul(x, x), constant(CUBIC));
  return gated(x, f32x4.mul(fused(x, cubic, x), constant(TANH)));
}

/** x / (1 + 2^power). */
function gated(x: v128, power: v128): v128 {
  return f32x4.div(x, f32x4.add(constant(ONE), exp2(f32x4.pmin(power, constant(MOST)))));
}

/** Sum of four numbers, in pairs. */
export function sum(x: v128): f32 {
  const pairs = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

/** Largest of four numbers. */
export function largest(x: v128): f32 {
  const pairs = f32x4.pmax(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}
