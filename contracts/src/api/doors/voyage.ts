// Voyage's embeddings, of texts on OpenAI's path and of texts and images on its own.
import * as z from 'zod';
import { ImageBase64Content, ImageUrlContent, TextContent } from '../items.ts';
import type { Operation } from '../operation.ts';
import { embeddingList, unused } from './fields.ts';

const shared = {
  model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
  truncation: z
    .boolean()
    .optional()
    .describe('What happens to a text that is too long. true or absent: its end is cut off. false: it is refused.'),
  output_dimension: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
  output_dtype: z
    .enum(['float', 'int8', 'uint8', 'binary', 'ubinary'])
    .optional()
    .describe('What the numbers of a vector are; absent: `float`.'),
  encoding_format: z
    .literal('base64')
    .optional()
    .describe('Base64 of the numbers, little-endian, of the type that `output_dtype` says; absent: JSON numbers.'),
  input_type: unused(),
};

export const VoyageEmbeddingsRequest = z
  .strictObject({
    input: z.union([z.string(), z.array(z.string())]).describe('A text or a list of texts.'),
    ...shared,
  })
  .meta({ title: 'VoyageEmbeddingsRequest', description: "Voyage's body for texts." });
export type VoyageEmbeddingsRequest = z.infer<typeof VoyageEmbeddingsRequest>;

const embedding = z
  .union([z.array(z.number()), z.string()])
  .describe('Vector of unit length where it is of floats, in the type and form that were asked for.');
const total_tokens = z.int().nonnegative().describe('Tokens that were read of all texts; images have none.');

export const VoyageEmbeddings = embeddingList({
  embedding,
  usage: z.strictObject({ total_tokens }).describe('What the request took.'),
}).meta({ title: 'VoyageEmbeddings', description: "Voyage's answer for texts." });
export type VoyageEmbeddings = z.infer<typeof VoyageEmbeddings>;

export const VoyageMultimodalRequest = z
  .strictObject({
    inputs: z
      .array(
        z.strictObject({
          content: z
            .array(z.union([TextContent, ImageUrlContent, ImageBase64Content]))
            .min(1)
            .describe('Texts and images that become one vector.'),
        }),
      )
      .describe('What is embedded: one vector each.'),
    ...shared,
    output_encoding: shared.encoding_format.describe('The same as `encoding_format`, as older clients say it.'),
  })
  .meta({ title: 'VoyageMultimodalRequest', description: "Voyage's body for texts and images." });
export type VoyageMultimodalRequest = z.infer<typeof VoyageMultimodalRequest>;

export const VoyageMultimodalEmbeddings = embeddingList({
  embedding,
  usage: z
    .strictObject({
      text_tokens: z.int().nonnegative().describe('Tokens that were read of all texts.'),
      image_pixels: z.int().nonnegative().describe('Pixels of all images, as they were sent.'),
      video_pixels: z.literal(0).describe('Videos are not taken.'),
      total_tokens,
    })
    .describe('What the request took.'),
}).meta({ title: 'VoyageMultimodalEmbeddings', description: "Voyage's answer for texts and images." });
export type VoyageMultimodalEmbeddings = z.infer<typeof VoyageMultimodalEmbeddings>;

export const VOYAGE_OPERATIONS = {
  embedMultimodal: {
    method: 'POST',
    computes: true,
    path: '/v1/multimodalembeddings',
    aliases: ['/multimodalembeddings'],
    door: 'voyage',
    scope: 'embed',
    summary: 'Embeddings of texts and images as Voyage answers them',
    request: VoyageMultimodalRequest,
    examples: {
      texts: {
        value: {
          inputs: [
            { content: [{ type: 'text', text: 'a dog running through snow' }] },
            {
              content: [
                { type: 'text', text: 'a dog' },
                { type: 'text', text: 'in winter' },
              ],
            },
          ],
          input_type: 'document',
        },
      },
    },
    answer: 'One embedding per input, in their order.',
    response: VoyageMultimodalEmbeddings,
  },
} as const satisfies Record<string, Operation>;
