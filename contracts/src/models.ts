// GET /v1/models and GET /health/*: what this server answers with, and whether it still does.
import { z } from 'zod';
import { Digest } from './artefact.ts';

/** OpenAI's model object plus what a caller must know before storing vectors. `created` is in Unix seconds. */
export const ModelEntry = z.strictObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int().nonnegative(),
  owned_by: z.string(),
  version: z.string(),
  space_id: Digest,
  dimensions: z.array(z.int().positive()).min(1),
  modalities: z.array(z.enum(['text', 'image'])).min(1),
  /** Tokens a text may have before it is cut; null where nothing is cut. */
  context_length: z.int().positive().nullable(),
});
export type ModelEntry = z.infer<typeof ModelEntry>;

export const ModelList = z.strictObject({ object: z.literal('list'), data: z.array(ModelEntry) });
export type ModelList = z.infer<typeof ModelList>;

export const LiveReport = z.strictObject({ status: z.literal('ok') });
export type LiveReport = z.infer<typeof LiveReport>;

/** A golden vector computed again: its cosine to the published one, and the least that passes. */
export const GoldenCheck = z.strictObject({
  tier: z.enum(['student', 'static']),
  cosine: z.number(),
  min_cosine: z.number(),
});

export const ReadyReport = z.strictObject({
  status: z.literal('ok'),
  model: z.string(),
  space_id: Digest,
  golden: z.array(GoldenCheck).min(1),
});
export type ReadyReport = z.infer<typeof ReadyReport>;
