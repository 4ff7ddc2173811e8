// Elementary functions on four numbers at once, as polynomials.
//
// Constants are loaded from memory, and minima are those of processors (`pmin`): of a constant in the code V8 makes a new
// one at every use, and WebAssembly's own `min` takes several instructions for the sake of NaN and -0.

/** Constants at the start of memory, where its host places nothing: see RESERVED in kernels.ts. */
const TABLE = memory.data<f32>([
  126, -126, 12582912, 1.3276472454890609e-3, 9.675540961325169e-3, 5.550713092088699e-2, 2.4022120237350464e-1,
  6.931469440460205e-1, 1.0000001192092896, 1, 0.5, -2.455466968, -2.302208198, 0.044715, 9.5701e-3, 5.591786e-2,
  2.4024745e-1, 6.9312181e-1, 0.99999926, -64, 4.5, -4.5, -10.125, -2.578996911861697e-12, 8.225888026291983e-11,
  -1.254566894814957e-9, 1.913190672553355e-8, -3.407073734251753e-7, 5.43447367817862e-6, -7.760938024148345e-5,
  1.066703582182527e-3, -1.524692215025425e-2, 3.13811719417572e-1,
]);

// Their numbers in the table. E, W and G: coefficients of the two exponential functions and of GELU.
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
const HALF: usize = 10;
const QUICK: usize = 11;
const TANH: usize = 12;
const CUBIC: usize = 13;
const W0: usize = 14;
const W1: usize = 15;
const W2: usize = 16;
const W3: usize = 17;
const W4: usize = 18;
const NOTHING: usize = 19;
const G_MOST: usize = 20;
const G_LEAST: usize = 21;
const G_MIDDLE: usize = 22;
const G0: usize = 23;
const G1: usize = 24;
const G2: usize = 25;
const G3: usize = 26;
const G4: usize = 27;
const G5: usize = 28;
const G6: usize = 29;
const G7: usize = 30;
const G8: usize = 31;
const G9: usize = 32;

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

/** Nearest whole numbers of x `factor`, which is within ±2^22, halves to even, as integers. */
export function whole(x: v128, factor: v128): v128 {
  // Added to 1.5 x 2^23 a number is rounded, and the last bits of the sum are the integer.
  const magic = constant(WHOLE);
  return i32x4.sub(fused(x, factor, magic), magic);
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

/**
 * x Φ(x), with the exact distribution function Φ, of numbers one after the other, in their place: each within 1.2e-5 of itself. It is
 * x/2 + x/2 erf(x / √2), the error function an odd polynomial of x, -4.5..4.5, beyond which it is nearly ±1. Its coefficients,
 * of powers of x² - 10.125, which lose fewer digits than those of x², are those of the least error of the whole.
 */
export function gelus(from: usize, end: usize): void {
  const most = constant(G_MOST);
  const least = constant(G_LEAST);
  const middle = constant(G_MIDDLE);
  const half = constant(HALF);
  const g0 = constant(G0);
  const g1 = constant(G1);
  const g2 = constant(G2);
  const g3 = constant(G3);
  const g4 = constant(G4);
  const g5 = constant(G5);
  const g6 = constant(G6);
  const g7 = constant(G7);
  const g8 = constant(G8);
  const g9 = constant(G9);
  for (; from < end; from += 16) {
    const x = v128.load(from);
    const y = f32x4.pmax(f32x4.pmin(x, most), least);
    const s = fused(y, y, middle);
    let p = fused(fused(fused(g0, s, g1), s, g2), s, g3);
    p = fused(fused(fused(p, s, g4), s, g5), s, g6);
    p = fused(fused(fused(p, s, g7), s, g8), s, g9);
    const part = f32x4.mul(x, half);
    v128.store(from, fused(part, f32x4.mul(y, p), part));
  }
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
