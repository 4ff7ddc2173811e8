// Rotates a vector before its signs are taken: pseudo-random signs and a Walsh-Hadamard transform, twice.
const ROUNDS = 2;

/**
 * As many numbers as the vector has, of which each is a sum of all of its numbers with signs of +1 and -1, in float32 as
 * docs/vectors.md defines it. Their factor is left in: only signs and shares of sums are taken of them. A space on its
 * principal axes holds nearly everything in its first numbers, so that most signs of the vector itself say nothing.
 */
export function rotate(vector: Float32Array): Float32Array {
  const width = 2 ** Math.ceil(Math.log2(vector.length));
  const numbers = new Float32Array(width);
  numbers.set(vector);
  for (const signs of signsOf(width)) {
    for (let i = 0; i < width; i++) numbers[i] = (numbers[i] ?? Number.NaN) * (signs[i] ?? Number.NaN);
    walshHadamard(numbers);
  }
  return numbers.subarray(0, vector.length);
}

/** In place, in natural order, unnormalised; a power of two numbers. */
function walshHadamard(numbers: Float32Array): void {
  for (let half = 1; half < numbers.length; half *= 2) {
    for (let start = 0; start < numbers.length; start += 2 * half) {
      for (let i = start; i < start + half; i++) {
        const one = numbers[i] ?? Number.NaN;
        const other = numbers[i + half] ?? Number.NaN;
        numbers[i] = one + other;
        numbers[i + half] = one - other;
      }
    }
  }
}

/** By width. Made once: a hash of every number would cost more than the transform. */
const tables = new Map<number, Int8Array[]>();

/** +1 or -1 for every number, by round. */
function signsOf(width: number): Int8Array[] {
  const known = tables.get(width);
  if (known) return known;
  const rounds = Array.from({ length: ROUNDS }, (_, round) =>
    Int8Array.from({ length: width }, (_, i) => (fmix32(i + round * 65536 + 1) < 0 ? -1 : 1)),
  );
  tables.set(width, rounds);
  return rounds;
}

/** The finaliser of MurmurHash3 for 32 bits, as a signed number: below zero where its top bit is set. */
function fmix32(number: number): number {
  const once = Math.imul(number ^ (number >>> 16), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 13), 0xc2b2ae35);
  return twice ^ (twice >>> 16);
}
