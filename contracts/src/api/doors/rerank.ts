// Reranking: one path for the bodies of Cohere, Jina and Voyage, and Cohere's second version.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { EmbeddedPart, TruncationReceipt } from '../embed.ts';
import { ImageItem, TextItem } from '../items.ts';
import type { Operation } from '../operation.ts';
import { byName } from '../tasks/by-name.ts';
import { CohereMeta } from './cohere.ts';
import { TokenUsage, unused } from './fields.ts';

const DOCUMENTS =
  'Texts, as strings or as objects whose `text` is read, and images as `image`. Other fields are not read, unless ' +
  '`rank_fields` names them.';

/** What both paths take. */
const SHARED = {
  model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
  query: z.union([z.string(), TextItem, ImageItem]).describe('A text or an image that documents are compared with.'),
  documents: z.array(z.union([z.string(), byName(z.string(), z.string())])).describe(DOCUMENTS),
  rank_fields: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Fields of documents that are objects: their texts are read in this order. Absent: `text`.'),
  return_documents: z
    .boolean()
    .optional()
    .describe('Whether the answer holds the documents; absent: it does not, as with Cohere and Voyage.'),
  top_n: z.int().positive().optional().describe('How many documents are answered, the best ones; absent: all.'),
  max_tokens_per_doc: z
    .int()
    .positive()
    .optional()
    .describe('Tokens that are read of a document at most, those at its two ends not counted; the rest is cut off.'),
  priority: unused(),
};
export const CohereRerankRequest = z
  .strictObject(SHARED)
  .meta({ title: 'CohereRerankRequest', description: "Cohere's body of POST /v2/rerank." });
export type CohereRerankRequest = z.infer<typeof CohereRerankRequest>;

export const RerankRequest = z
  .strictObject({
    ...SHARED,
    top_k: z.int().positive().optional().describe("Voyage's name of `top_n`."),
    truncation: z
      .boolean()
      .optional()
      .describe('What happens to a text that is too long. true or absent: it is cut. false: it is refused.'),
    max_chunks_per_doc: unused(),
  })
  .meta({
    title: 'RerankRequest',
    description: 'Body of POST /v1/rerank: what Jina, Voyage and the first version of Cohere take.',
  });
export type RerankRequest = z.infer<typeof RerankRequest>;

const HIT = {
  index: z.int().nonnegative().describe('Index of the document in the request.'),
  relevance_score: z
    .number()
    .min(0)
    .max(1)
    .describe(
      "Probability in 0..1 that query and document mean the same: the model's calibration of their cosine, by modality.",
    ),
  truncation: TruncationReceipt.optional().describe('Ours: how much of the text was read; absent for images.'),
  parts: z.array(EmbeddedPart).min(2).optional().describe('Ours: the parts of a document that has several.'),
};
const RESULTS = z
  .array(
    z.strictObject({
      ...HIT,
      document: z
        .record(z.string(), z.string())
        .optional()
        .describe('The document, where it was asked for; a string is the `text` of an object.'),
    }),
  )
  .describe("The documents in Cohere's and Jina's form, the best first; equal ones in the order of the request.");
const ANSWER = {
  id: z.string().describe('Id of the request, the same as in the header `x-request-id`.'),
  meta: CohereMeta,
  model: z.string().describe('Id of the model that answered.'),
  space_id: Digest.describe('Ours: the space in which they were compared.'),
};

export const CohereRerankResponse = z
  .strictObject({
    results: RESULTS,
    ...ANSWER,
  })
  .meta({ title: 'CohereRerankResponse', description: "Cohere's answer of POST /v2/rerank." });
export type CohereRerankResponse = z.infer<typeof CohereRerankResponse>;

const data = z
  .array(z.strictObject({ ...HIT, document: z.string().optional().describe('The text, where it was asked for.') }))
  .describe("The documents in Voyage's form, the best first.");
const object = z.literal('list').describe('Name of this form.');

export const RerankResponse = z
  .strictObject({
    object,
    results: RESULTS,
    data,
    usage: TokenUsage,
    ...ANSWER,
  })
  .meta({ title: 'RerankResponse', description: 'An answer that clients of Cohere, Jina and Voyage read alike.' });
export type RerankResponse = z.infer<typeof RerankResponse>;

export const VoyageRerankResponse = z
  .strictObject({ object, data, model: ANSWER.model, space_id: ANSWER.space_id, usage: TokenUsage })
  .meta({
    title: 'VoyageRerankResponse',
    description: "Voyage's answer, where `top_k` or `truncation` is in the body.",
  });
export type VoyageRerankResponse = z.infer<typeof VoyageRerankResponse>;

export const RERANK_OPERATIONS = {
  rerank: {
    method: 'POST',
    computes: true,
    path: '/v1/rerank',
    door: 'cohere',
    sharedWith: ['jina', 'voyage'],
    scope: 'embed',
    summary: 'Documents in the order of how well they match a query, for clients of Cohere, Jina and Voyage',
    request: RerankRequest,
    examples: {
      cohere: {
        value: { query: 'a dog', documents: ['a boat', { text: 'a puppy' }], top_n: 1, return_documents: true },
      },
      voyage: { value: { query: 'a dog', documents: ['a boat', 'a puppy'], top_k: 1, truncation: true } },
    },
    answer: 'Indices of the documents and their relevance, the best first.',
    response: z.union([RerankResponse, VoyageRerankResponse]),
  },
  cohereRerank: {
    method: 'POST',
    computes: true,
    path: '/v2/rerank',
    door: 'cohere',
    scope: 'embed',
    summary: 'Documents in the order of how well they match a query, as Cohere answers them',
    request: CohereRerankRequest,
    examples: { texts: { value: { query: 'a dog', documents: ['a boat', 'a puppy'], top_n: 2 } } },
    answer: 'Indices of the documents and their relevance, the best first.',
    response: CohereRerankResponse,
  },
} as const satisfies Record<string, Operation>;
