// The HTTP interface as OpenAPI 3.1, assembled from the same schemas that check requests.
import { z } from 'zod';
import { EmbedRequest, EmbedResponse } from './embed.ts';
import { ERROR_STATUS, ErrorBody } from './error.ts';
import { LiveReport, ModelList, ReadyReport } from './models.ts';
import { SimilarityRequest, SimilarityResponse } from './similarity.ts';

const SCHEMAS = {
  EmbedRequest,
  EmbedResponse,
  SimilarityRequest,
  SimilarityResponse,
  ModelList,
  LiveReport,
  ReadyReport,
  ErrorBody,
};
const reference = (name: keyof typeof SCHEMAS) => ({ $ref: `#/components/schemas/${name}` });
const json = (schema: object, examples?: object) => ({
  'application/json': { schema, ...(examples ? { examples } : {}) },
});

/** Responses for the statuses that the error table knows; every one has the same body. */
function errorResponses(statuses: number[]): Record<string, object> {
  return Object.fromEntries(
    statuses.map((status) => {
      const codes = Object.entries(ERROR_STATUS).flatMap(([code, of]) => (of === status ? [code] : []));
      const content = { 'application/problem+json': { schema: reference('ErrorBody') } };
      return [String(status), { description: `One of the codes ${codes.join(', ')}.`, content }];
    }),
  );
}

/** What a field of the JSON body means; the form has fields of the same names. */
function fieldOf(name: keyof typeof EmbedRequest.shape): string {
  return EmbedRequest.shape[name].description ?? '';
}

/** A schema as a component: titles name types of ours, and a client would take them for names of the interface. */
function componentOf(schema: z.ZodType): object {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    io: 'output',
    override: ({ jsonSchema }) => {
      delete jsonSchema.title;
    },
  });
  return rest;
}

interface Answers {
  /** Of the answer 200. */
  description: string;
  schema: object;
  errors?: Record<string, object>;
}

/** The document that GET /openapi.json serves. */
export function openApi(version: string): object {
  const postErrors = errorResponses([400, 404, 413, 415, 422, 429, 500, 502, 503, 504]);
  const get = (summary: string, { description, schema, errors = {} }: Answers) => ({
    get: { summary, responses: { '200': { description, content: json(schema) }, ...errors } },
  });
  return {
    openapi: '3.1.0',
    info: {
      title: 'edge-clip',
      version,
      description: 'Embeddings of texts and images in one space, and how similar they are.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      '/embed': {
        post: {
          summary: 'Embed texts and images',
          requestBody: {
            required: true,
            content: {
              ...json(reference('EmbedRequest'), {
                one: { value: { input: 'a dog running through snow' } },
                many: { value: { input: ['a dog', { text: 'a cat' }], types: ['float', 'int8'], dimensions: 128 } },
              }),
              'multipart/form-data': {
                schema: {
                  type: 'object',
                  properties: {
                    text: {
                      type: 'array',
                      items: { type: 'string' },
                      description: 'Texts, one per field of that name.',
                    },
                    image: {
                      type: 'array',
                      items: { type: 'string', contentMediaType: 'application/octet-stream' },
                      description: 'Image files as they are. Items keep the order of the fields.',
                    },
                    model: { type: 'string', description: fieldOf('model') },
                    types: { type: 'array', items: { type: 'string' }, description: fieldOf('types') },
                    dimensions: { type: 'integer', description: fieldOf('dimensions') },
                    truncate: { type: 'string', description: fieldOf('truncate') },
                  },
                },
              },
            },
          },
          responses: {
            '200': { description: 'Embeddings in the order of the input.', content: json(reference('EmbedResponse')) },
            ...postErrors,
          },
        },
      },
      '/similarity': {
        post: {
          summary: 'Score two sides against each other',
          requestBody: {
            required: true,
            content: json(reference('SimilarityRequest'), {
              matrix: { value: { a: ['a dog', 'a boat'], b: ['ein Hund', 'un bateau'] } },
              best: { value: { a: 'a dog in snow', b: ['a cat', 'a husky in winter'], mode: 'top_k', top_k: 1 } },
            }),
          },
          responses: {
            '200': { description: 'Cosines and calibrated scores.', content: json(reference('SimilarityResponse')) },
            ...postErrors,
          },
        },
      },
      '/v1/models': get('List models', {
        description: 'Models, their dimensions, context lengths and limits.',
        schema: reference('ModelList'),
        errors: errorResponses([503]),
      }),
      '/health/live': get('Is the process alive?', { description: 'It is.', schema: reference('LiveReport') }),
      '/health/ready': get('Does the model compute what it should?', {
        description: 'Golden vectors were recomputed and agree.',
        schema: reference('ReadyReport'),
        errors: errorResponses([503]),
      }),
      '/openapi.json': get('This document', { description: 'OpenAPI 3.1.', schema: { type: 'object' } }),
    },
    components: {
      schemas: Object.fromEntries(Object.entries(SCHEMAS).map(([name, schema]) => [name, componentOf(schema)])),
    },
  };
}
