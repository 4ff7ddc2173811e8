// Infinity's embeddings, on OpenAI's path.
import * as z from 'zod';
import { TokenUsage, unused } from './fields.ts';

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

export const InfinityRerankRequest = z
  .strictObject({
    model: z
      .string()
      .optional()
      .describe(`Id of a model from GET /v1/models; absent or ${INFINITY_NO_MODEL}: the first one.`),
    query: z.string().describe('What is looked for.'),
    documents: z.array(z.string()).describe('Texts that are ranked.'),
    return_documents: z.boolean().optional().describe('Whether the texts are repeated in the answer; absent: false.'),
    raw_scores: z
      .boolean()
      .optional()
      .describe('true: scores are the log-odds of the probabilities. false or absent: the probabilities.'),
    top_n: z.int().positive().optional().describe('How many are answered, the best ones; absent: all.'),
    rank_fields: unused(),
    max_chunks_per_doc: unused(),
  })
  .meta({ title: 'InfinityRerankRequest', description: "Infinity's body of POST /rerank." });
export type InfinityRerankRequest = z.infer<typeof InfinityRerankRequest>;

export const InfinityRerankResponse = z
  .strictObject({
    object: z.literal('rerank').describe('Name of this form.'),
    results: z
      .array(
        z.strictObject({
          index: z.int().nonnegative().describe('Index of the document in the request.'),
          relevance_score: z.number().describe('Probability in 0..1 that both mean the same, or its log-odds.'),
          document: z.string().optional().describe('The text, where asked for.'),
        }),
      )
      .describe('The documents, the best first.'),
    model: z.string().describe('Id of the model that answered.'),
    usage: TokenUsage,
    id: z.string().describe('Id of the request, the same as in the header `x-request-id`.'),
    created: z.int().nonnegative().describe('When it was answered, in Unix seconds.'),
  })
  .meta({ title: 'InfinityRerankResponse', description: "Infinity's answer of POST /rerank." });
export type InfinityRerankResponse = z.infer<typeof InfinityRerankResponse>;
