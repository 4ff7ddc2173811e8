// Cohere's embeddings, in both versions of its interface.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { EmbeddingType } from '../embed.ts';
import { ImageUrlContent, TextContent } from '../items.ts';
import type { Operation } from '../operation.ts';
import { unused } from './fields.ts';

export const CohereTruncate = z.enum(['NONE', 'START', 'END']).meta({
  title: 'CohereTruncate',
  description: '`NONE`: a text that is too long is refused. `START` and `END`: that side of it is cut off.',
});
export type CohereTruncate = z.infer<typeof CohereTruncate>;

/** What both versions take. */
const SHARED = {
  model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
  texts: z.array(z.string()).optional().describe('Texts, one vector each.'),
  images: z
    .array(z.string())
    .optional()
    .describe('Images as data URIs or bare base64 of a JPEG, PNG, WebP, GIF or AVIF file, one vector each.'),
  input_type: z
    .enum(['search_document', 'search_query', 'classification', 'clustering', 'image'])
    .optional()
    .describe('What the vectors are for. Taken and not used: vectors of all kinds are the same here.'),
  embedding_types: z.array(EmbeddingType).min(1).optional().describe('How every vector is written; absent: `float`.'),
  truncate: CohereTruncate.optional().describe('What happens to a text that is too long; absent: `END`.'),
};

export const CohereEmbedRequest = z
  .strictObject({
    ...SHARED,
    inputs: z
      .array(
        z.strictObject({
          content: z
            .array(z.union([TextContent, ImageUrlContent]))
            .min(1)
            .describe('Texts and images that become one vector.'),
        }),
      )
      .optional()
      .describe('Inputs of several parts, one vector each. Send one of `texts`, `images` and `inputs`.'),
    max_tokens: z
      .int()
      .positive()
      .optional()
      .describe('Tokens that are read of a text at most, those at its two ends not counted; the rest is cut off.'),
    output_dimension: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    priority: unused(),
  })
  .meta({ title: 'CohereEmbedRequest', description: "Cohere's body of POST /v2/embed." });
export type CohereEmbedRequest = z.infer<typeof CohereEmbedRequest>;

export const CohereV1EmbedRequest = z
  .strictObject(SHARED)
  .meta({ title: 'CohereV1EmbedRequest', description: "Cohere's body of POST /v1/embed." });
export type CohereV1EmbedRequest = z.infer<typeof CohereV1EmbedRequest>;

const bytes = (range: string) => z.array(z.array(z.int())).optional().describe(`Whole numbers in ${range}.`);
export const CohereEmbeddings = z
  .strictObject({
    float: z.array(z.array(z.number())).optional().describe('Numbers.'),
    int8: bytes('-128..127'),
    uint8: bytes('0..255'),
    binary: bytes('-128..127, each of which holds the signs of eight dimensions'),
    ubinary: bytes('0..255, each of which holds the signs of eight dimensions'),
    base64: z.array(z.string()).optional().describe('Base64 of little-endian float32 numbers.'),
  })
  .meta({ title: 'CohereEmbeddings', description: 'Of every type that was asked for one vector per input, in order.' });
export type CohereEmbeddings = z.infer<typeof CohereEmbeddings>;

export const CohereMeta = z
  .strictObject({
    api_version: z
      .strictObject({ version: z.enum(['1', '2']).describe('Which version of the interface this is.') })
      .describe('Which version of the interface this is.'),
    billed_units: z
      .strictObject({
        input_tokens: z.int().nonnegative().describe('Tokens that were read of all texts.'),
        images: z.int().nonnegative().optional().describe('Images that were read; absent where there were none.'),
      })
      .describe('What the request took; nothing is billed.'),
    warnings: z.array(z.string()).optional().describe('One sentence per text that was cut.'),
  })
  .meta({ title: 'CohereMeta', description: 'What the request took and what happened on the way.' });
export type CohereMeta = z.infer<typeof CohereMeta>;

export const CohereImage = z
  .strictObject({
    width: z.int().positive().describe('In pixels, turned as people see it.'),
    height: z.int().positive().describe('In pixels, turned as people see it.'),
    format: z.string().describe('What the file turned out to be, such as `jpeg`.'),
    bit_depth: z
      .literal(24)
      .describe('Bits of a pixel as it was read: three channels of eight, whatever the file holds.'),
  })
  .meta({ title: 'CohereImage', description: 'What an image file turned out to be.' });
export type CohereImage = z.infer<typeof CohereImage>;

/** `id`, `meta` and our own fields of every answer. */
const ANSWER = {
  id: z.string().describe('Id of the request, the same as in the header `x-request-id`.'),
  texts: z.array(z.string()).describe('The texts that were sent; empty where images or inputs were.'),
  images: z.array(CohereImage).optional().describe('The images that were sent as `images`, in order; else absent.'),
  meta: CohereMeta,
  model: z.string().describe('Ours: id of the model that answered.'),
  space_id: Digest.describe('Ours: the space of the vectors; those of different spaces must not be compared.'),
};

export const CohereEmbedResponse = z
  .strictObject({
    response_type: z.literal('embeddings_by_type').describe('Name of this form.'),
    embeddings: CohereEmbeddings,
    ...ANSWER,
  })
  .meta({ title: 'CohereEmbedResponse', description: "Cohere's answer: vectors by type." });
export type CohereEmbedResponse = z.infer<typeof CohereEmbedResponse>;

export const CohereFloatsResponse = z
  .strictObject({
    response_type: z.literal('embeddings_floats').describe('Name of this form.'),
    embeddings: z.array(z.array(z.number())).describe('One vector per input, in order.'),
    ...ANSWER,
  })
  .meta({ title: 'CohereFloatsResponse', description: "Cohere's first form: numbers, where no types were asked for." });
export type CohereFloatsResponse = z.infer<typeof CohereFloatsResponse>;

export const COHERE_OPERATIONS = {
  cohereEmbed: {
    method: 'POST',
    computes: true,
    path: '/v2/embed',
    door: 'cohere',
    scope: 'embed',
    summary: 'Embeddings as Cohere answers them',
    request: CohereEmbedRequest,
    examples: {
      texts: {
        value: { texts: ['a dog', 'a cat'], input_type: 'search_document', embedding_types: ['float', 'int8'] },
      },
      inputs: { value: { inputs: [{ content: [{ type: 'text', text: 'a dog running through snow' }] }] } },
    },
    answer: 'Embeddings in the order of the input, by type.',
    response: CohereEmbedResponse,
  },
  cohereV1Embed: {
    method: 'POST',
    computes: true,
    path: '/v1/embed',
    door: 'cohere',
    scope: 'embed',
    summary: "Embeddings as the first version of Cohere's interface answers them",
    request: CohereV1EmbedRequest,
    examples: {
      floats: { value: { texts: ['a dog', 'a cat'] } },
      types: { value: { texts: ['a dog'], embedding_types: ['ubinary'], truncate: 'START' } },
    },
    answer: 'Embeddings in the order of the input: a list where no types were asked for, else an object by type.',
    response: z.union([CohereFloatsResponse, CohereEmbedResponse]),
  },
} as const satisfies Record<string, Operation>;
