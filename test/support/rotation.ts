// The rotation of vectors written out slowly: entries of a Hadamard matrix by the parity of common bits, in doubles.

/** Of MurmurHash3, in whole numbers of any size. */
function fmix32(number: number): bigint {
  let hash = BigInt(number);
  hash ^= hash >> 16n;
  hash = BigInt.asUintN(32, hash * 0x85ebca6bn);
  hash ^= hash >> 13n;
  hash = BigInt.asUintN(32, hash * 0xc2b2ae35n);
  return hash ^ (hash >> 16n);
}

/** 1 for an odd number of ones, else 0. */
const parity = (number: number) => [...number.toString(2)].filter((digit) => digit === '1').length % 2;

export function rotatedSlowly(vector: number[]): number[] {
  const width = 2 ** Math.ceil(Math.log2(vector.length));
  let numbers = Array.from({ length: width }, (_, i) => vector[i] ?? 0);
  for (const round of [0, 1]) {
    const signed = numbers.map((value, i) => (fmix32(i + 65536 * round + 1) >> 31n ? -value : value));
    numbers = numbers.map((_, i) => signed.reduce((sum, value, j) => sum + (parity(i & j) ? -value : value), 0));
  }
  return numbers.slice(0, vector.length);
}

/** As numpy.packbits writes which numbers are above zero. */
export function packed(numbers: number[]): number[] {
  const bytes = Math.ceil(numbers.length / 8);
  const bit = (i: number) => ((numbers[i] ?? 0) > 0 ? 1 : 0);
  return Array.from({ length: bytes }, (_, byte) =>
    [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, i) => sum * 2 + bit(byte * 8 + i), 0),
  );
}
