// Floats in JSON: read back as the same float32, in as few digits as any decimal number that is.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { shortestFloat } from '../../../../api/core/vectors/shortest.ts';
import { encodeEmbedding } from '../../../../api/core/vectors/vectors.ts';

fc.configureGlobal({ seed: 20261126, numRuns: 3000 });

const anyBits = fc.integer({ min: 0, max: 0xffff_ffff }).map((bits) => {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits);
  return view.getFloat32(0);
});
const ofVectors = fc.double({ min: -1, max: 1, noNaN: true }).map(Math.fround);
const float32 = fc.oneof(ofVectors, anyBits.filter(Number.isFinite));

/** The digits of a number and the power of ten of the last one. */
function digitsOf(value: number): { digits: string; last: number } {
  const [significand = '', exponent = '0'] = value.toExponential().split('e');
  const digits = significand.replace(/[-.]/g, '');
  return { digits, last: Number(exponent) - digits.length + 1 };
}

test('what JSON prints is read back as the same float32', () => {
  fc.assert(
    fc.property(float32, (value) => {
      expect(Math.fround(JSON.parse(JSON.stringify(shortestFloat(value))))).toBe(Object.is(value, -0) ? 0 : value);
    }),
  );
});

test('no decimal number with a digit less is read as it', () => {
  const isShortest = (value: number) => {
    const { digits, last } = digitsOf(shortestFloat(value));
    if (digits.length === 1) return true;
    // Its neighbours on both sides among the numbers with a digit less.
    const below = Number(digits.slice(0, -1));
    const shorter = [below, below + 1].map((whole) => Math.sign(value) * Number(`${whole}e${last + 1}`));
    return shorter.every((candidate) => Math.fround(candidate) !== value);
  };
  fc.assert(fc.property(float32, (value) => value === 0 || isShortest(value)));
  // Float32 lies twice as dense below a power of two as above it: the nearest decimal number is not always the one.
  for (let exponent = -126; exponent < 128; exponent++) expect(isShortest(2 ** exponent), `2^${exponent}`).toBe(true);
});

test('what is no number stays none, and zero keeps its sign', () => {
  for (const value of [0, -0, Number.NaN, Number.POSITIVE_INFINITY]) expect(shortestFloat(value)).toBe(value);
});

test('a vector of 512 numbers is at least a third shorter than as doubles', () => {
  const vector = Float32Array.from({ length: 512 }, (_, i) => Math.sin(i + 1) / 16);
  const printed = JSON.stringify(encodeEmbedding(vector, 'float'));
  expect(Float32Array.from(JSON.parse(printed))).toEqual(vector);
  expect(printed.length).toBeLessThan((JSON.stringify(Array.from(vector)).length * 2) / 3);
});
