// The vectors of a shard, packed row after row, and what each row is.
import type { BulkType } from '../../../contracts/src/bulk/job.ts';
import type { BulkResult } from '../../../contracts/src/bulk/lines.ts';
import { encodeEmbedding, type Quantisation } from '../../core/vectors/vectors.ts';

/** One vector's item. */
export type Row = Omit<BulkResult, 'embedding' | 'space_id'>;

export interface Part {
  model: { id: string; version: string; space_id: string };
  type: BulkType;
  dimensions: number;
  /** Whether its job reads videos, of which rows have a span. */
  hasVideos: boolean;
  rows: Row[];
  /** [rows, bytes of a row], row after row. */
  matrix: Uint8Array;
}

/** Bytes of a vector: four, one, or an eighth for each number. */
export function rowBytes({ type, dimensions }: Pick<Part, 'type' | 'dimensions'>): number {
  if (type === 'binary') return Math.ceil(dimensions / 8);
  return type === 'int8' ? dimensions : dimensions * 4;
}

/** A unit vector's bytes in a type: little-endian float32, int8 by the space's scale, or bits, the first one highest. */
export function packVector(vector: Float32Array, type: BulkType, quantisation: Quantisation): Uint8Array {
  if (type === 'float32') return Buffer.from(String(encodeEmbedding(vector, 'base64')), 'base64');
  const numbers = encodeEmbedding(vector, type === 'int8' ? 'int8' : 'ubinary', quantisation) as number[];
  return type === 'int8' ? new Uint8Array(Int8Array.from(numbers).buffer) : Uint8Array.from(numbers);
}

/** The bytes of one row. */
export function rowOf(part: Part, row: number): Uint8Array {
  const size = rowBytes(part);
  return part.matrix.subarray(row * size, (row + 1) * size);
}
