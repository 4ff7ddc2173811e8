// GET /v1/models and GET /health/*: what this server answers with, and whether it still does.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { EmbeddingType } from './embed.ts';

const Tier = z.enum(['student', 'static']);
const count = z.int().positive();

/** What a request may hold at most; beyond it the answer says which limit was passed. */
const Limits = z.strictObject({
  items: count,
  images: count,
  text_chars: count,
  image_bytes: count,
  image_pixels: count,
  body_bytes: count,
  top_k: count,
});

/** OpenAI's model object plus what a caller must know before storing vectors. `created` is in Unix seconds. */
export const ModelEntry = z.strictObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int().nonnegative(),
  owned_by: z.string(),
  version: z.string(),
  /** `student`: the transformer. `static`: the token table, microseconds a text. */
  tier: Tier,
  modalities: z.array(z.enum(['text', 'image'])).min(1),
  space_id: Digest,
  embed_dim: count,
  /** Lengths that `dimensions` may ask for, the full one first. */
  dimensions: z.array(count).min(1),
  /** Tokens a text may have before it is cut. */
  context_length: count,
  types: z.array(EmbeddingType).min(1),
  limits: Limits,
  /** Dev-split figures that the model was published with. */
  metrics: z.record(z.string(), z.number()),
});
export type ModelEntry = z.infer<typeof ModelEntry>;

export const ModelList = z.strictObject({ object: z.literal('list'), data: z.array(ModelEntry).min(1) });
export type ModelList = z.infer<typeof ModelList>;

export const LiveReport = z.strictObject({ status: z.literal('ok') });
export type LiveReport = z.infer<typeof LiveReport>;

/** A golden vector computed again: its cosine to the published one, and the least that passes. */
export const GoldenCheck = z.strictObject({ tier: Tier, cosine: z.number(), min_cosine: z.number() });
export type GoldenCheck = z.infer<typeof GoldenCheck>;

export const ReadyReport = z.strictObject({
  status: z.literal('ok'),
  model: z.string(),
  version: z.string(),
  space_id: Digest,
  golden: z.array(GoldenCheck).min(1),
});
export type ReadyReport = z.infer<typeof ReadyReport>;
