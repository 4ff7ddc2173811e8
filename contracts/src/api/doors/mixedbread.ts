// Mixedbread's embeddings, on OpenAI's path.
import * as z from 'zod';
import { EmbeddingByType, EmbeddingType } from '../embed.ts';
import { InputItem } from '../items.ts';
import { embeddingList, TokenUsage, unitVectors, unused } from './fields.ts';

const Formats = z.union([EmbeddingType, z.array(EmbeddingType).min(1)]);

export const MixedbreadEmbeddingsRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    input: z.union([InputItem, z.array(InputItem)]).describe('One item or a list of items, texts and images mixed.'),
    encoding_format: Formats.optional().describe(
      'How every vector is written; absent: `float`. With several, `embedding` is an object by type.',
    ),
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    normalized: unitVectors(),
    user: unused(),
  })
  .meta({ title: 'MixedbreadEmbeddingsRequest', description: "Mixedbread's body." });
export type MixedbreadEmbeddingsRequest = z.infer<typeof MixedbreadEmbeddingsRequest>;

export const MixedbreadEmbeddings = embeddingList({
  object: z.enum(['embedding', 'embedding_dict']),
  embedding: z
    .union([z.array(z.number()), z.string(), EmbeddingByType])
    .describe('Unit vector: one array or base64 string for one type, an object by type for several.'),
  usage: TokenUsage,
})
  .extend({
    normalized: z.literal(true).describe('The vectors have unit length.'),
    encoding_format: Formats.describe('How the vectors are written.'),
    dimensions: z.int().positive().describe('Length of the vectors.'),
  })
  .meta({ title: 'MixedbreadEmbeddings', description: "Mixedbread's answer." });
export type MixedbreadEmbeddings = z.infer<typeof MixedbreadEmbeddings>;
