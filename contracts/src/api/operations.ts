// The table of operations: what the service answers. Routes, keys, logs and /openapi.json follow from it.
import * as z from 'zod';
import { BATCH_OPERATIONS } from './doors/batches.ts';
import { COHERE_OPERATIONS } from './doors/cohere.ts';
import { OPENAI_OPERATIONS } from './doors/openai.ts';
import { RERANK_OPERATIONS } from './doors/rerank.ts';
import {
  TEI_OPERATIONS,
  TeiEmbedRequest,
  TeiEmbedResponse,
  TeiSimilarityRequest,
  TeiSimilarityResponse,
  TeiTokenizeRequest,
  TeiTokenizeResponse,
} from './doors/tei.ts';
import { OpenAiUpload, OpenAiUploadRequest, UPLOAD_OPERATIONS } from './doors/uploads.ts';
import { VOYAGE_OPERATIONS } from './doors/voyage.ts';
import { EmbedRequest, EmbedResponse, PartialEmbedResponse } from './embed.ts';
import { LimitsReport } from './limits.ts';
import { LiveReport, ModelList, ReadyReport } from './models.ts';
import type { Operation } from './operation.ts';
import { PartialSimilarityResponse, SimilarityRequest, SimilarityResponse } from './similarity.ts';
import { ClassifyRequest, ClassifyResponse } from './tasks/classify.ts';
import { DRY_RUN, DryRunResponse } from './tasks/dry-run.ts';
import { JOB_INSTEAD, JOB_OPERATIONS } from './tasks/jobs.ts';
import { TokenizeRequest, TokenizeResponse } from './tasks/tokenize.ts';
import { UploadRequest, UploadResponse } from './tasks/upload.ts';

/** What a field of the JSON body means; the form has fields of the same names. */
const fieldOf = (name: keyof typeof EmbedRequest.shape): string => EmbedRequest.shape[name].description ?? '';

const EMBED_FORM = {
  type: 'object',
  properties: {
    text: { type: 'array', items: { type: 'string' }, description: 'Texts, one per field of that name.' },
    image: {
      type: 'array',
      items: { type: 'string', contentMediaType: 'application/octet-stream' },
      description: 'Image files as they are. Items keep the order of the fields.',
    },
    model: { type: 'string', description: fieldOf('model') },
    types: { type: 'array', items: { type: 'string' }, description: fieldOf('types') },
    dimensions: { type: 'integer', description: fieldOf('dimensions') },
    truncate: { type: 'string', description: fieldOf('truncate') },
    on_error: { type: 'string', description: fieldOf('on_error') },
  },
};

const OWN_OPERATIONS = {
  page: {
    method: 'GET',
    path: '/',
    door: 'own',
    scope: null,
    summary: 'The playground',
    answer: 'A page to try the service with.',
    answerType: 'text/html',
    response: z.string().describe('HTML.'),
  },
  embed: {
    method: 'POST',
    computes: true,
    path: '/embed',
    door: 'own',
    sharedWith: ['tei'],
    scope: 'embed',
    summary: 'Embed texts and images',
    description: 'With `inputs` instead of `input`, the body and the answer are those of Text Embeddings Inference.',
    query: DRY_RUN,
    hasTag: true,
    request: z.union([EmbedRequest, TeiEmbedRequest]),
    form: EMBED_FORM,
    examples: {
      one: { value: { input: 'a dog running through snow' } },
      many: { value: { input: ['a dog', { text: 'a cat' }], types: ['float', 'int8'], dimensions: 128 } },
      fused: { value: { input: { content: [{ text: 'a red jacket' }, { text: 'waterproof, with a hood' }] } } },
      partial: { value: { input: ['a dog', ' '], on_error: 'partial' } },
      tei: { value: { inputs: ['a dog', 'a cat'], truncate: true } },
    },
    answer: 'Embeddings in the order of the input.',
    response: z.union([EmbedResponse, PartialEmbedResponse, DryRunResponse, TeiEmbedResponse]),
    accepted: JOB_INSTEAD,
  },
  similarity: {
    method: 'POST',
    computes: true,
    path: '/similarity',
    door: 'own',
    sharedWith: ['tei'],
    scope: 'embed',
    summary: 'Score two sides against each other',
    description:
      'With `inputs` instead of `a` and `b`, the body and the answer are those of Text Embeddings Inference.',
    query: DRY_RUN,
    hasTag: true,
    request: z.union([SimilarityRequest, TeiSimilarityRequest]),
    examples: {
      matrix: { value: { a: ['a dog', 'a boat'], b: ['ein Hund', 'un bateau'] } },
      best: { value: { a: 'a dog in snow', b: ['a cat', 'a husky in winter'], mode: 'top_k', top_k: 1 } },
      partial: { value: { a: 'a dog in snow', b: ['a husky in winter', ' '], on_error: 'partial' } },
      tei: { value: { inputs: { source_sentence: 'a dog', sentences: ['ein Hund', 'a boat'] } } },
    },
    answer: 'Cosines and calibrated scores.',
    response: z.union([SimilarityResponse, PartialSimilarityResponse, DryRunResponse, TeiSimilarityResponse]),
  },
  classify: {
    method: 'POST',
    computes: true,
    path: '/classify',
    aliases: ['/v1/classify'],
    door: 'own',
    scope: 'embed',
    summary: 'Say which of your labels items are',
    description: 'Zero-shot: nothing is trained. The body and the answer hold the fields of the same path at Jina.',
    request: ClassifyRequest,
    examples: {
      texts: { value: { input: ['a husky in winter', 'a sailing boat'], labels: ['dog', 'ship', 'car'] } },
      described: {
        value: {
          input: 'my parcel has not arrived',
          labels: { delivery: ['where is my order', 'the parcel is late'], refund: 'I want my money back' },
          none_of_these: { prior: 0.2 },
        },
      },
    },
    answer: 'The labels of each item, the best first.',
    response: ClassifyResponse,
  },
  tokenize: {
    method: 'POST',
    computes: true,
    path: '/tokenize',
    door: 'own',
    sharedWith: ['tei'],
    scope: 'embed',
    summary: 'Show the tokens of texts',
    description: 'With `inputs` instead of `input`, the body and the answer are those of Text Embeddings Inference.',
    request: z.union([TokenizeRequest, TeiTokenizeRequest]),
    examples: {
      one: { value: { input: 'ein Hund läuft', units: 'code_points' } },
      tei: { value: { inputs: ['a dog', 'a cat'], add_special_tokens: false } },
    },
    answer: 'Ids, places and what would be cut off.',
    response: z.union([TokenizeResponse, TeiTokenizeResponse]),
  },
  upload: {
    method: 'POST',
    path: '/v1/uploads',
    door: 'own',
    sharedWith: ['openai'],
    scope: 'embed',
    orScope: 'jobs',
    summary: 'Ask where an image file may be put, or begin a file of lines in parts',
    description:
      'With `digest`: the image file is sent to that address by `PUT`, and a request to `/embed` then names it in the place of its bytes. Files go after some days. ' +
      "With `filename`, the body and the answer are those of OpenAI's uploads, and the key has to be good for `jobs`.",
    request: z.union([UploadRequest, OpenAiUploadRequest]),
    examples: {
      one: {
        value: { digest: 'sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae', bytes: 3 },
      },
      parts: {
        value: { filename: 'requests.jsonl', purpose: 'batch', bytes: 20_000_000, mime_type: 'application/jsonl' },
      },
    },
    answer: 'The address, and what has to be sent with the file; or the upload, which takes parts.',
    response: z.union([UploadResponse, OpenAiUpload]),
  },
  listModels: {
    method: 'GET',
    path: '/v1/models',
    aliases: ['/models'],
    door: 'own',
    scope: 'embed',
    summary: 'List models',
    answer: 'Models, their dimensions, context lengths and limits.',
    response: ModelList,
  },
  limits: {
    method: 'GET',
    path: '/v1/limits',
    door: 'own',
    scope: 'embed',
    summary: 'What one request may hold',
    answer: 'Items, tokens, bytes, pixels, by model where models differ.',
    response: LimitsReport,
  },
  isLive: {
    method: 'GET',
    path: '/health/live',
    aliases: ['/health', '/ping'],
    door: 'own',
    scope: null,
    summary: 'Is the process alive?',
    answer: 'It is.',
    response: LiveReport,
  },
  isReady: {
    method: 'GET',
    path: '/health/ready',
    door: 'own',
    scope: null,
    summary: 'Does the model compute what it should?',
    answer: 'Golden vectors were recomputed and agree.',
    response: ReadyReport,
  },
  metrics: {
    method: 'GET',
    path: '/metrics',
    door: 'own',
    scope: 'admin',
    summary: 'Counters for Prometheus',
    description: 'Counters of the isolate that happens to answer; it says which one that is.',
    answer: 'Text in the exposition format 0.0.4.',
    answerType: 'text/plain',
    response: z.string().describe('Lines of text.'),
  },
  describe: {
    method: 'GET',
    path: '/openapi.json',
    door: 'own',
    scope: null,
    summary: 'This document',
    answer: 'OpenAPI 3.1.',
    response: z.record(z.string(), z.unknown()).describe('The document.'),
  },
} as const satisfies Record<string, Operation>;

/** By operation id, the order in which they are documented. */
export const OPERATIONS = {
  ...OWN_OPERATIONS,
  ...JOB_OPERATIONS,
  ...OPENAI_OPERATIONS,
  ...BATCH_OPERATIONS,
  ...UPLOAD_OPERATIONS,
  ...VOYAGE_OPERATIONS,
  ...COHERE_OPERATIONS,
  ...RERANK_OPERATIONS,
  ...TEI_OPERATIONS,
} as const satisfies Record<string, Operation>;
export type OperationId = keyof typeof OPERATIONS;
export type OwnOperationId = keyof typeof OWN_OPERATIONS;
