// Vectors that a request brings along, as `/embed` wrote them in any of its types: read, checked and cut.
import { EmbeddingType } from '../../../contracts/src/api/embed.ts';
import type { VectorItem } from '../../../contracts/src/api/similarity.ts';
import type { Bits } from '../../../contracts/src/model/bits.ts';
import { CoreError } from '../errors.ts';
import type { Model } from '../model.ts';
import {
  cutAndNormalise,
  decodeEmbedding,
  isBitType,
  isUnit,
  numbersOfBits,
  type WrittenVector,
} from '../vectors/vectors.ts';
import type { Scored } from './scores.ts';

export interface ReadyVector {
  param: string;
  /** As sent: not at unit length yet. */
  numbers: ArrayLike<number>;
  isBits: boolean;
  modality: VectorItem['modality'];
  truncation: VectorItem['truncation'];
}

export function readVector(item: VectorItem, param: string, model: Model): ReadyVector {
  const { space_id } = model.manifest;
  if (item.space_id !== space_id) {
    const message = `${param} is of space ${item.space_id}; this model's space is ${space_id}: the two cannot be compared.`;
    throw new CoreError('space_mismatch', message, { param });
  }
  const { written, type } = chooseType(item, param);
  const isBits = isBitType(type);
  const numbers = decodeEmbedding(written, type);
  if (!numbers && item.type) {
    throw new CoreError('invalid_request', `${param} is not a vector of type ${type} as /embed writes it.`, { param });
  }
  const most = model.manifest.embed_dim;
  // The last byte of bits is filled up.
  const mostNumbers = isBits ? Math.ceil(most / 8) * 8 : most;
  if (!numbers || numbers.length === 0 || numbers.length > mostNumbers) {
    const sent = numbers?.length ?? 'an unreadable number of';
    const message = `${param} has ${sent} numbers; vectors of this space have 1 to ${most}.`;
    throw new CoreError('dimension_mismatch', message, { param });
  }
  if (!item.type && type === 'float' && Array.from(numbers).every(Number.isInteger) && !isUnit(numbers)) {
    const message = `${param} holds whole numbers only, which may be of several types. Send its type: float, int8, uint8, binary or ubinary.`;
    throw new CoreError('invalid_request', message, { param });
  }
  return {
    param,
    numbers: Array.from(numbers).slice(0, most),
    isBits,
    modality: item.modality,
    truncation: item.truncation,
  };
}

/** The vector to read and its type; of an object by type the most exact one, unless the item names another. */
function chooseType({ embedding, type }: VectorItem, param: string): { written: WrittenVector; type: EmbeddingType } {
  if (typeof embedding === 'string') return { written: embedding, type: type ?? 'base64' };
  if (Array.isArray(embedding)) return { written: embedding, type: type ?? 'float' };
  const candidates = type ? [type] : EmbeddingType.options;
  for (const candidate of candidates) {
    const written = embedding[candidate];
    if (written !== undefined) return { written, type: candidate };
  }
  throw new CoreError('invalid_request', `${param} holds no vector of type ${candidates.join(', ')}.`, { param });
}

/** `bits`: what those of the model are the signs of. Signs of a rotated vector are not those of its first numbers. */
export function cutReady(
  { param, numbers, isBits, modality, truncation }: ReadyVector,
  { dimensions, bits }: { dimensions: number; bits: Bits },
): Scored {
  if (numbers.length < dimensions) {
    const message = `${param} has ${numbers.length} numbers; ${dimensions} dimensions were asked for.`;
    throw new CoreError('dimension_mismatch', message, { param });
  }
  if (isBits && bits === 'rotated' && Math.ceil(numbers.length / 8) !== Math.ceil(dimensions / 8)) {
    const message =
      `${param} has ${numbers.length} bits, which are of the whole vector and cannot be cut to ${dimensions} dimensions. ` +
      `Embed it with "dimensions": ${dimensions}, or compare what was embedded at one length.`;
    throw new CoreError('dimension_mismatch', message, { param });
  }
  const embedding = cutAndNormalise(numbers, dimensions);
  if (!isUnit(embedding)) throw new CoreError('invalid_request', `${param} is zero or not finite.`, { param });
  return { embedding, isBits, modality, truncation };
}

/** Sides of which one holds bits: with the numbers that these are compared with, which take a transform of each vector. */
export function withSigned<T extends object>(sides: [(Scored | T)[], (Scored | T)[]], bits: Bits): typeof sides {
  const isVector = (entry: Scored | T): entry is Scored => 'embedding' in entry;
  const hasBits = sides.flat().some((entry) => isVector(entry) && entry.isBits);
  if (!hasBits || bits === 'signs') return sides;
  const signed = (entry: Scored | T) =>
    isVector(entry) && !entry.isBits ? { ...entry, signed: numbersOfBits(entry.embedding, bits) } : entry;
  return [sides[0].map(signed), sides[1].map(signed)];
}
