// Vectors: cut to length, normalised, compared, written in a type and read back from it.
import type { EmbeddingType } from '../../../contracts/src/api/embed.ts';
import type { Bits } from '../../../contracts/src/model/bits.ts';
import { fromBase64, isBase64, toBase64 } from './base64.ts';
import { rotate } from './rotation.ts';
import { shortestFloat } from './shortest.ts';

/** The first `dimensions` numbers at unit length. Cut first: a vector normalised before the cut is too short. */
export function cutAndNormalise(vector: ArrayLike<number>, dimensions: number): Float32Array {
  let sum = 0;
  for (let i = 0; i < dimensions; i++) sum += (vector[i] ?? Number.NaN) ** 2;
  const scale = 1 / Math.sqrt(sum);
  // A loop and not Float32Array.from with a function: that takes ten times as long, a third of a static text's time.
  const cut = new Float32Array(dimensions);
  for (let i = 0; i < dimensions; i++) cut[i] = (vector[i] ?? Number.NaN) * scale;
  return cut;
}

/** The first `dimensions` numbers of a unit vector, at unit length again where some were cut off. */
export function cutUnit(vector: Float32Array, dimensions: number): Float32Array {
  return vector.length === dimensions ? vector : cutAndNormalise(vector, dimensions);
}

/** False for NaN, infinities, the zero vector and anything whose length is off by more than float32 rounding explains. */
export function isUnit(vector: ArrayLike<number>, tolerance = 1e-3): boolean {
  const length = Math.sqrt(dot(vector, vector));
  return Math.abs(length - 1) <= tolerance;
}

/** The cosine of two unit vectors; summed in double precision. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? Number.NaN) * (b[i] ?? Number.NaN);
  return sum;
}

/** How whole numbers and bits stand for the values of a space. */
export interface Quantisation {
  /** int8 = round(value * int8Scale), clamped. */
  int8Scale: number;
  /** Of what bits are the signs. */
  bits: Bits;
}
/** Of models that state none. */
export const DEFAULT_QUANTISATION: Quantisation = { int8Scale: 127, bits: 'signs' };

/** The numbers that bits are the signs of, up to a positive factor. */
export function numbersOfBits(vector: Float32Array, bits: Bits): Float32Array {
  return bits === 'rotated' ? rotate(vector) : vector;
}

/** A vector in a type as it goes into JSON; floats in the fewest digits that are read back as the same float32. */
export function encodeEmbedding(
  vector: Float32Array,
  type: EmbeddingType,
  quantisation: Quantisation = DEFAULT_QUANTISATION,
): number[] | string {
  return write(vector, type, quantised(vector, quantisation));
}

/** The same in several types, which share what they are made from. */
export function encodeEmbeddings(
  vector: Float32Array,
  types: readonly EmbeddingType[],
  quantisation: Quantisation = DEFAULT_QUANTISATION,
): Record<string, number[] | string> {
  const shared = quantised(vector, quantisation);
  return Object.fromEntries(types.map((type) => [type, write(vector, type, shared)]));
}

/** What types are made from: each computed when it is asked for, and once. */
interface Quantised {
  int8(): number[];
  bits(): number[];
}

function quantised(vector: Float32Array, { int8Scale, bits }: Quantisation): Quantised {
  let [whole, signs]: (number[] | undefined)[] = [];
  return {
    int8() {
      whole ??= numbersOf(vector, (value) => toInt8(value * int8Scale));
      return whole;
    },
    bits() {
      signs ??= signBits(numbersOfBits(vector, bits));
      return signs;
    },
  };
}

function write(vector: Float32Array, type: EmbeddingType, shared: Quantised): number[] | string {
  switch (type) {
    case 'float':
      return numbersOf(vector, shortestFloat);
    case 'base64':
      return toBase64(float32Bytes(vector));
    case 'int8':
      return shared.int8();
    case 'uint8':
      return shared.int8().map((value) => value + PACKED.uint8.shift);
    case 'binary':
      return shared.bits().map((byte) => byte + PACKED.binary.shift);
    case 'ubinary':
      return shared.bits();
  }
}

/** A loop for the same reason as in cutAndNormalise. */
function numbersOf(vector: Float32Array, write: (value: number) => number): number[] {
  const numbers = new Array<number>(vector.length);
  for (let i = 0; i < vector.length; i++) numbers[i] = write(vector[i] ?? Number.NaN);
  return numbers;
}

/** A vector as it is sent: numbers, or base64 of float32 values or of packed bytes. */
export type WrittenVector = ArrayLike<number> | string;

interface Packed {
  isBits: boolean;
  isSigned: boolean;
  /** Added to the int8 value or to the byte of sign bits. */
  shift: number;
}
/** The types of whole numbers; the others hold floats. `binary` as sentence-transformers and Cohere shift it. */
const PACKED = {
  int8: { isBits: false, isSigned: true, shift: 0 },
  uint8: { isBits: false, isSigned: false, shift: 128 },
  binary: { isBits: true, isSigned: true, shift: -128 },
  ubinary: { isBits: true, isSigned: false, shift: 0 },
} as const satisfies Partial<Record<EmbeddingType, Packed>>;

function packedOf(type: EmbeddingType): Packed | undefined {
  return type === 'float' || type === 'base64' ? undefined : PACKED[type];
}

/** Whether a type keeps only signs. */
export function isBitType(type: EmbeddingType): boolean {
  return packedOf(type)?.isBits ?? false;
}

/**
 * The numbers that `written` stands for, up to a positive factor; bits become 1 and -1. Undefined where `written` cannot
 * be of that type.
 */
export function decodeEmbedding(written: WrittenVector, type: EmbeddingType): ArrayLike<number> | undefined {
  const packed = packedOf(type);
  if (!packed) return decodeFloats(written, type);
  const { isSigned } = packed;
  if (typeof written === 'string') {
    if (!isBase64(written)) return undefined;
    const bytes = fromBase64(written);
    return decodePacked(isSigned ? Int8Array.from(bytes) : bytes, packed);
  }
  const [min, max] = isSigned ? [-128, 127] : [0, 255];
  const values = Array.from(written);
  const isInside = (value: number) => Number.isInteger(value) && value >= min && value <= max;
  return values.every(isInside) ? decodePacked(values, packed) : undefined;
}

function decodeFloats(written: WrittenVector, type: EmbeddingType): ArrayLike<number> | undefined {
  if (typeof written !== 'string') return type === 'float' ? written : undefined;
  return type === 'base64' && isBase64(written) ? fromFloat32Bytes(fromBase64(written)) : undefined;
}

function decodePacked(values: ArrayLike<number>, { isBits, shift }: Packed): Float32Array {
  if (!isBits) return Float32Array.from(values, (value) => value - shift);
  const signs = new Float32Array(values.length * 8);
  for (let i = 0; i < signs.length; i++) {
    const byte = (values[i >> 3] ?? 0) - shift;
    signs[i] = (byte >> (7 - (i & 7))) & 1 ? 1 : -1;
  }
  return signs;
}

/** Rounded and clamped to int8; halves go to the even neighbour, as NumPy's rint does. */
function toInt8(scaled: number): number {
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  return Math.max(-128, Math.min(127, floor + (up ? 1 : 0)));
}

/** One bit per dimension, set above zero, the first dimension in the highest bit; the last byte is filled with zeros. */
function signBits(vector: Float32Array): number[] {
  const bytes = new Array<number>(Math.ceil(vector.length / 8)).fill(0);
  vector.forEach((value, i) => {
    if (value > 0) bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (0x80 >> (i & 7));
  });
  return bytes;
}

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Little-endian on every machine: what OpenAI's clients decode base64 as. The bytes may be those of the vector itself. */
function float32Bytes(vector: Float32Array): Uint8Array {
  if (IS_LITTLE_ENDIAN) return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
  const view = new DataView(new ArrayBuffer(vector.length * 4));
  vector.forEach((value, i) => {
    view.setFloat32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** Undefined when the bytes are not a whole number of float32 values. */
export function fromFloat32Bytes(bytes: Uint8Array): Float32Array | undefined {
  if (bytes.length % 4 !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
}
