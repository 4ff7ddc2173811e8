// Jina's embeddings, on OpenAI's path.
import * as z from 'zod';
import { EmbeddingByType } from '../embed.ts';
import { InputItem } from '../items.ts';
import { embeddingList, TokenUsage, unitVectors, unused } from './fields.ts';

const JinaType = z.enum(['float', 'base64', 'binary', 'ubinary']);
const IMAGE = 'The image as base64, in the older form of the body.';

/** Of Jina's first multimodal model, whose clients still send it. */
const OlderImage = z.union([
  z.strictObject({ bytes: z.string().describe(IMAGE) }),
  z.strictObject({ url: z.string().describe(`${IMAGE} A data URI: links are not fetched.`) }),
]);
const JinaItem = z.union([InputItem, OlderImage]);

export const JinaEmbeddingsRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    input: z.union([JinaItem, z.array(JinaItem)]).describe('One item or a list of items, texts and images mixed.'),
    embedding_type: z
      .union([JinaType, z.array(JinaType).min(1)])
      .optional()
      .describe('How every vector is written; absent: `float`. With several, `embedding` is an object by type.'),
    encoding_format: z
      .enum(['float', 'base64'])
      .optional()
      .describe("The same in OpenAI's words; `embedding_type` goes before it."),
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    truncate: z
      .boolean()
      .optional()
      .describe('What happens to a text that is too long. true or absent: its end is cut off. false: it is refused.'),
    normalized: unitVectors(),
    late_chunking: z.literal(false).optional().describe('Only false: every item is embedded for itself.'),
    return_multivector: z.literal(false).optional().describe('Only false: one vector per item.'),
    return_tokenized_input: z.literal(false).optional().describe('Only false: the answer has no tokens.'),
    task: unused(),
    user: unused(),
  })
  .meta({ title: 'JinaEmbeddingsRequest', description: "Jina's body." });
export type JinaEmbeddingsRequest = z.infer<typeof JinaEmbeddingsRequest>;

export const JinaEmbeddings = embeddingList({
  embedding: z
    .union([z.array(z.number()), z.string(), EmbeddingByType])
    .describe('Unit vector: one array or base64 string for one type, an object by type for several.'),
  usage: TokenUsage,
}).meta({ title: 'JinaEmbeddings', description: "Jina's answer." });
export type JinaEmbeddings = z.infer<typeof JinaEmbeddings>;
