// POST /embed: texts and images in, embeddings in the same order out.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';

/** Limits that the door enforces; every error that names one reads it here. */
export const LIMITS = {
  items: 256,
  images: 32,
  text_chars: 200_000,
  image_bytes: 8 * 1024 * 1024,
  image_pixels: 16_000_000,
  body_bytes: 32 * 1024 * 1024,
  top_k: 256,
} as const;

/**
 * How a vector is written. `float`: JSON numbers. `base64`: little-endian float32. `int8`/`uint8`: round(x * 127)
 * clamped, uint8 shifted by 128. `binary`/`ubinary`: sign bits, first dimension in the highest bit, as signed or
 * unsigned bytes.
 */
export const EmbeddingType = z.enum(['float', 'base64', 'int8', 'uint8', 'binary', 'ubinary']);
export type EmbeddingType = z.infer<typeof EmbeddingType>;

export const Truncate = z.enum(['none', 'start', 'end']);
export type Truncate = z.infer<typeof Truncate>;

export const TextItem = z.strictObject({ text: z.string() });
/** `image`: a data URI or bare base64 of a JPEG, PNG, WebP, GIF or AVIF file. */
export const ImageItem = z.strictObject({ image: z.string() });
export const InputItem = z.union([z.string(), TextItem, ImageItem]);
export type InputItem = z.infer<typeof InputItem>;

export const EmbedRequest = z.strictObject({
  model: z.string().optional(),
  input: z.union([InputItem, z.array(InputItem)]),
  types: z.array(EmbeddingType).min(1).optional(),
  dimensions: z.int().positive().optional(),
  truncate: Truncate.optional(),
});
export type EmbedRequest = z.infer<typeof EmbedRequest>;

/** What was read of a text: `cut_at_char` is an index into the text in UTF-16 units, null when nothing was cut. */
export const TruncationReceipt = z.strictObject({
  truncated: z.boolean(),
  tokens_seen: z.int().nonnegative(),
  tokens_total: z.int().nonnegative(),
  cut_at_char: z.int().nonnegative().nullable(),
});
export type TruncationReceipt = z.infer<typeof TruncationReceipt>;

const EncodedVector = z.union([z.array(z.number()), z.string()]);
export const EmbeddingByType = z.strictObject({
  float: z.array(z.number()).optional(),
  base64: z.string().optional(),
  int8: z.array(z.int()).optional(),
  uint8: z.array(z.int()).optional(),
  binary: z.array(z.int()).optional(),
  ubinary: z.array(z.int()).optional(),
});
export type EmbeddingByType = z.infer<typeof EmbeddingByType>;

export const EmbeddingItem = z.strictObject({
  object: z.literal('embedding'),
  index: z.int().nonnegative(),
  modality: z.enum(['text', 'image']),
  embedding: z.union([EncodedVector, EmbeddingByType]),
  truncation: TruncationReceipt.optional(),
});

export const Usage = z.strictObject({
  prompt_tokens: z.int().nonnegative(),
  images: z.int().nonnegative(),
  total_tokens: z.int().nonnegative(),
});
export type Usage = z.infer<typeof Usage>;

export const EmbedResponse = z.strictObject({
  object: z.literal('list'),
  model: z.string(),
  space_id: Digest,
  dimensions: z.int().positive(),
  data: z.array(EmbeddingItem),
  usage: Usage,
});
export type EmbedResponse = z.infer<typeof EmbedResponse>;
