// OpenAI's embeddings and models, whose path Jina's and Voyage's bodies share.
import * as z from 'zod';
import { InputItem } from '../items.ts';
import { ModelEntry } from '../models.ts';
import type { Operation } from '../operation.ts';
import { JOB_INSTEAD } from '../tasks/jobs.ts';
import { embeddingList, TokenUsage, unused } from './fields.ts';
import { InfinityEmbeddingsRequest } from './infinity.ts';
import { JinaEmbeddings, JinaEmbeddingsRequest } from './jina.ts';
import { MixedbreadEmbeddings, MixedbreadEmbeddingsRequest } from './mixedbread.ts';
import { VoyageEmbeddings, VoyageEmbeddingsRequest } from './voyage.ts';

export const OpenAIEmbeddingsRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    input: z
      .union([InputItem, z.array(InputItem)])
      .describe('A text or a list of texts; items with an image are taken too, which OpenAI does not have.'),
    encoding_format: z
      .enum(['float', 'base64'])
      .optional()
      .describe('`float`: JSON numbers. `base64`: little-endian float32. Absent: `float`.'),
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    user: unused(),
  })
  .meta({ title: 'OpenAIEmbeddingsRequest', description: "OpenAI's body." });
export type OpenAIEmbeddingsRequest = z.infer<typeof OpenAIEmbeddingsRequest>;

export const OpenAIEmbeddings = embeddingList({
  embedding: z.union([z.array(z.number()), z.string()]).describe('Unit vector, in the form that was asked for.'),
  usage: TokenUsage,
}).meta({ title: 'OpenAIEmbeddings', description: "OpenAI's answer." });
export type OpenAIEmbeddings = z.infer<typeof OpenAIEmbeddings>;

export const OPENAI_OPERATIONS = {
  createEmbeddings: {
    method: 'POST',
    computes: true,
    path: '/v1/embeddings',
    query: { 'api-version': z.string().describe('What clients for Azure send; taken and not used.') },
    aliases: ['/embeddings'],
    door: 'openai',
    scope: 'embed',
    summary: 'Embeddings as OpenAI answers them, Jina, Voyage, Mixedbread and Infinity too',
    description: 'A body with keys of one of the other services is answered in its form.',
    request: z.union([
      OpenAIEmbeddingsRequest,
      JinaEmbeddingsRequest,
      VoyageEmbeddingsRequest,
      MixedbreadEmbeddingsRequest,
      InfinityEmbeddingsRequest,
    ]),
    examples: {
      one: { value: { input: 'a dog running through snow' } },
      base64: { value: { input: ['a dog', 'a cat'], encoding_format: 'base64', dimensions: 256 } },
      jina: { value: { input: [{ text: 'a dog' }], task: 'text-matching', embedding_type: ['float', 'ubinary'] } },
      voyage: { value: { input: ['a dog'], input_type: 'query', output_dimension: 256, output_dtype: 'int8' } },
      infinity: { value: { input: ['a dog'], modality: 'text', dimensions: 0 } },
      mixedbread: { value: { input: 'a dog', encoding_format: ['float', 'binary'], normalized: true } },
    },
    answer: 'Embeddings in the order of the input.',
    response: z.union([OpenAIEmbeddings, JinaEmbeddings, VoyageEmbeddings, MixedbreadEmbeddings]),
    accepted: JOB_INSTEAD,
  },
  retrieveModel: {
    method: 'GET',
    path: '/v1/models/{id}',
    aliases: ['/models/{id}'],
    door: 'openai',
    scope: 'embed',
    summary: 'One model',
    answer: 'The model, its dimensions, context length and limits.',
    response: ModelEntry,
  },
} as const satisfies Record<string, Operation>;
