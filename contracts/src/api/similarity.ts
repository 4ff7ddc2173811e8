// POST /similarity: two sides of any modality, or ready vectors, scored by cosine and by a calibrated probability.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { InputItem, Truncate, Usage } from './embed.ts';

/** A ready vector (JSON numbers or base64 of little-endian float32) and the space it lives in. */
export const VectorItem = z.strictObject({
  embedding: z.union([z.array(z.number()).min(1), z.string()]),
  space_id: Digest,
  modality: z.enum(['text', 'image']).optional(),
});
export type VectorItem = z.infer<typeof VectorItem>;

export const SimilarityItem = z.union([InputItem, VectorItem]);
export type SimilarityItem = z.infer<typeof SimilarityItem>;
const Side = z.union([SimilarityItem, z.array(SimilarityItem)]);

/** `matrix`: every a with every b. `pairs`: a[i] with b[i]. `top_k`: for every a the best `top_k` of b. */
export const SimilarityMode = z.enum(['matrix', 'pairs', 'top_k']);
export type SimilarityMode = z.infer<typeof SimilarityMode>;

export const SimilarityRequest = z.strictObject({
  model: z.string().optional(),
  a: Side,
  b: Side,
  mode: SimilarityMode.optional(),
  top_k: z.int().positive().optional(),
  dimensions: z.int().positive().optional(),
  truncate: Truncate.optional(),
});
export type SimilarityRequest = z.infer<typeof SimilarityRequest>;

const Shared = {
  object: z.literal('similarity'),
  model: z.string(),
  space_id: Digest,
  dimensions: z.int().positive(),
  usage: Usage,
};
const Matrix = z.array(z.array(z.number()));
const Hit = z.strictObject({ index: z.int().nonnegative(), score: z.number(), calibrated: z.number().nullable() });

/** `scores` are cosines in -1..1, `calibrated` probabilities in 0..1 (null where a ready vector names no modality). */
export const SimilarityResponse = z.discriminatedUnion('mode', [
  z.strictObject({
    ...Shared,
    mode: z.literal('matrix'),
    scores: Matrix,
    calibrated: z.array(z.array(z.number().nullable())),
  }),
  z.strictObject({
    ...Shared,
    mode: z.literal('pairs'),
    scores: z.array(z.number()),
    calibrated: z.array(z.number().nullable()),
  }),
  z.strictObject({ ...Shared, mode: z.literal('top_k'), results: z.array(z.array(Hit)) }),
]);
export type SimilarityResponse = z.infer<typeof SimilarityResponse>;
