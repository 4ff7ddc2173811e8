// Text Embeddings Inference's and Hugging Face's bodies: `inputs` in, bare lists out.
import { z } from 'zod';
import type { Operation } from '../operation.ts';

const model = z
  .string()
  .optional()
  .describe('Id of a model from GET /v1/models; absent: the first one. TEI serves one model and has no such field.');
const truncation = {
  truncate: z
    .boolean()
    .optional()
    .describe('What happens to a text that is too long. true or absent: it is cut. false: it is refused.'),
  truncation_direction: z
    .enum(['left', 'right', 'Left', 'Right'])
    .optional()
    .describe('Which end of a text that is too long is cut off; absent: `right`.'),
};
const normalize = z
  .literal(true)
  .optional()
  .describe('Vectors of this space are always at unit length: `false` is refused.');
const options = z
  .unknown()
  .optional()
  .describe('Taken and not used: caching and waiting, as clients of the Hugging Face API ask for them.');

export const TeiEmbedRequest = z
  .strictObject({
    inputs: z.union([z.string(), z.array(z.string())]).describe('One text or a list of texts.'),
    model,
    ...truncation,
    normalize,
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    encoding_format: z.literal('float').optional().describe('JSON numbers, the only form of this answer.'),
    parameters: z
      .strictObject({ ...truncation, normalize })
      .optional()
      .describe('The same options, where clients put them one level lower.'),
    options,
  })
  .meta({ title: 'TeiEmbedRequest', description: "TEI's body of POST /embed, and feature extraction." });
export type TeiEmbedRequest = z.infer<typeof TeiEmbedRequest>;

export const TeiEmbedResponse = z.array(z.array(z.number())).meta({
  title: 'TeiEmbedResponse',
  description: "TEI's answer: one unit vector per text, in the order of `inputs`.",
});
export type TeiEmbedResponse = z.infer<typeof TeiEmbedResponse>;

export const TeiSimilarityRequest = z
  .strictObject({
    inputs: z
      .strictObject({
        source_sentence: z.string().describe('The text that the others are compared with.'),
        sentences: z.array(z.string()).describe('The others.'),
      })
      .describe('One text and those that it is compared with.'),
    model,
    parameters: z.strictObject(truncation).optional().describe('What happens to texts that are too long.'),
    options,
  })
  .meta({ title: 'TeiSimilarityRequest', description: "TEI's body of POST /similarity, and sentence similarity." });
export type TeiSimilarityRequest = z.infer<typeof TeiSimilarityRequest>;

export const TeiSimilarityResponse = z.array(z.number()).meta({
  title: 'TeiSimilarityResponse',
  description: "TEI's answer: the cosine of each sentence to the source sentence, in -1..1.",
});
export type TeiSimilarityResponse = z.infer<typeof TeiSimilarityResponse>;

export const TEI_OPERATIONS = {
  task: {
    method: 'POST',
    path: '/',
    door: 'tei',
    scope: 'embed',
    summary: 'Feature extraction and sentence similarity as Hugging Face clients ask for them',
    description: 'What is wanted follows from `inputs`.',
    request: z.union([TeiEmbedRequest, TeiSimilarityRequest]),
    examples: {
      features: { value: { inputs: ['a dog running through snow', 'a cat'], normalize: true, truncate: true } },
      similarity: { value: { inputs: { source_sentence: 'a dog', sentences: ['ein Hund', 'a boat'] } } },
    },
    answer: 'A bare list of vectors or of cosines.',
    response: z.union([TeiEmbedResponse, TeiSimilarityResponse]),
  },
} as const satisfies Record<string, Operation>;
