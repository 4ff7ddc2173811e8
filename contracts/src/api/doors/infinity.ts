// Infinity's embeddings, on OpenAI's path.
import { z } from 'zod';
import { unused } from './fields.ts';

/** What its client names where its user names none. */
export const INFINITY_NO_MODEL = 'default/not-specified';

export const InfinityEmbeddingsRequest = z
  .strictObject({
    model: z
      .string()
      .optional()
      .describe(`Id of a model from GET /v1/models; absent or ${INFINITY_NO_MODEL}: the first one.`),
    input: z
      .union([z.string(), z.array(z.string())])
      .describe('A text or a list of texts; images as base64 or data URIs where `modality` says so.'),
    modality: z.enum(['text', 'image']).describe('What the strings of `input` are.'),
    encoding_format: z
      .enum(['float', 'base64'])
      .optional()
      .describe('`float`: JSON numbers. `base64`: little-endian float32. Absent: `float`.'),
    dimensions: z.int().nonnegative().optional().describe('Length of the vectors; absent or 0: the full length.'),
    user: unused(),
  })
  .meta({ title: 'InfinityEmbeddingsRequest', description: "Infinity's body; it is answered as OpenAI's." });
export type InfinityEmbeddingsRequest = z.infer<typeof InfinityEmbeddingsRequest>;
