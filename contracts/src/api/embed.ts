// POST /embed: texts and images in, embeddings in the same order out.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { ImageType, RoutingReceipt } from './encode.ts';
import { ErrorMember } from './error.ts';
import { InputItem } from './items.ts';
import { LIMITS } from './limits.ts';

export const EmbeddingType = z.enum(['float', 'base64', 'int8', 'uint8', 'binary', 'ubinary']).meta({
  title: 'EmbeddingType',
  description:
    'How a vector is written. `float`: JSON numbers, in the fewest digits that are read back as the same float32. ' +
    "`base64`: little-endian float32. `int8`: round(x * scale), clamped to -128..127; the scale is the model's " +
    '`int8_scale`. `uint8`: the same plus 128. `ubinary`: a bit for each number, set where it is above 0, the first one ' +
    "in the highest bit (numpy.packbits(x > 0)); where the model's `bits` are `rotated`, of the numbers after the rotation " +
    'that docs/vectors.md defines. `binary`: the same bytes minus 128, as sentence-transformers and Cohere write them.',
});
export type EmbeddingType = z.infer<typeof EmbeddingType>;

export const Truncate = z.enum(['none', 'start', 'end']).meta({
  title: 'Truncate',
  description:
    'What happens to a text that is too long. `none`: it is refused. `start` and `end`: that side is cut off, and the ' +
    'answer says how much was read.',
});
export type Truncate = z.infer<typeof Truncate>;

export const OnError = z.enum(['fail', 'partial']).meta({
  title: 'OnError',
  description:
    'What happens when an item cannot be embedded. `fail`: the request is refused with that error. `partial`: the other ' +
    'items are answered, and the error is in the place of the item; the status is 200 even where every item has one.',
});
export type OnError = z.infer<typeof OnError>;

export const Modality = z.enum(['text', 'image', 'mixed']).meta({
  title: 'Modality',
  description: 'What a vector stands for. `mixed`: texts and images together.',
});
export type Modality = z.infer<typeof Modality>;

const model = z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.');

export const EmbedRequest = z
  .strictObject({
    model,
    input: z
      .union([InputItem, z.array(InputItem).meta({ maxItems: LIMITS.items })], {
        error: 'must be text, an image or a list of them',
      })
      .describe('One item or a list of items, texts and images mixed.'),
    types: z
      .array(EmbeddingType)
      .min(1)
      .optional()
      .describe('How every vector is written; absent: `float`. With several, `embedding` is an object by type.'),
    dimensions: z
      .int()
      .positive()
      .optional()
      .describe(
        "Length of the vectors, from 1 to the model's `embed_dim`; absent: the full length. The first numbers are kept and " +
          'brought to unit length. The model lists the lengths that it was trained for.',
      ),
    truncate: Truncate.optional().describe('What happens to a text that is too long; absent: `end`.'),
    on_error: OnError.optional().describe('What happens when an item cannot be embedded; absent: `fail`.'),
  })
  .meta({ title: 'EmbedRequest', description: 'Body of POST /embed.' });
export type EmbedRequest = z.infer<typeof EmbedRequest>;

export const TruncationReceipt = z
  .strictObject({
    truncated: z.boolean().describe('Whether something was cut off.'),
    tokens_seen: z.int().nonnegative().describe('Tokens that the model read.'),
    tokens_total: z.int().nonnegative().describe('Tokens that the whole text has.'),
    cut_at_char: z
      .int()
      .nonnegative()
      .nullable()
      .describe(
        'Where the text was cut: an index into it in UTF-16 code units, as JavaScript and Java count, not in bytes or code ' +
          'points. The part that was read ends there, or begins there with `truncate: start`. null when nothing was cut.',
      ),
    tokens_unknown: z
      .int()
      .nonnegative()
      .describe('Of the tokens that were read, how many stand for words or symbols that the vocabulary does not have.'),
    chars_unknown: z
      .int()
      .nonnegative()
      .describe('UTF-16 code units of the text that those tokens cover: one may be of any length.'),
    understood: z
      .boolean()
      .describe('False where every token that was read is unknown: the vector then says nothing about the text.'),
  })
  .meta({ title: 'TruncationReceipt', description: 'How much of a text was read and understood.' });
export type TruncationReceipt = z.infer<typeof TruncationReceipt>;

export const ImageReceipt = z
  .strictObject({
    type: ImageType,
    width: z.int().positive().describe('In pixels, turned as people see it.'),
    height: z.int().positive().describe('In pixels, turned as people see it.'),
    warnings: z
      .array(z.string())
      .describe(
        'What is wrong with the file, of which the vector was made all the same, such as that a part is missing.',
      ),
  })
  .meta({ title: 'ImageReceipt', description: 'What an image file turned out to be.' });
export type ImageReceipt = z.infer<typeof ImageReceipt>;

export const EmbeddedPart = z
  .strictObject({
    modality: z.enum(['text', 'image']).describe('What the part was.'),
    truncation: TruncationReceipt.optional().describe('How much of the text was read; absent for images.'),
    picture: ImageReceipt.optional().describe('What the image file turned out to be; absent for texts.'),
  })
  .meta({ title: 'EmbeddedPart', description: 'A part of an item of several texts and images.' });

const EncodedVector = z.union([z.array(z.number()), z.string()]);
const bytes = (meaning: string) => z.array(z.int()).optional().describe(meaning);
export const EmbeddingByType = z
  .strictObject({
    float: z.array(z.number()).optional().describe('JSON numbers, unit norm.'),
    base64: z.string().optional().describe('Base64 of little-endian float32, unit norm.'),
    int8: bytes('round(x * int8_scale), clamped to -128..127.'),
    uint8: bytes('The int8 values plus 128.'),
    binary: bytes('The bytes of `ubinary` minus 128.'),
    ubinary: bytes('Sign bits, eight dimensions per byte, the first in the highest bit, as 0..255.'),
  })
  .meta({ title: 'EmbeddingByType', description: 'One vector, written in each of the types that were asked for.' });
export type EmbeddingByType = z.infer<typeof EmbeddingByType>;

export const EmbeddingItem = z
  .strictObject({
    object: z.literal('embedding').describe("OpenAI's name of this form."),
    index: z.int().nonnegative().describe('Index of the item in the input.'),
    modality: Modality.describe('What the item was.'),
    embedding: z
      .union([EncodedVector, EmbeddingByType])
      .describe('Unit vector: one array or base64 string for one type, an object by type for several.'),
    type: EmbeddingType.optional().describe('How `embedding` is written; absent where it is an object by type.'),
    space_id: Digest.describe('The space of the vector, so that the item can be sent to /similarity as it is.'),
    truncation: TruncationReceipt.optional().describe('How much of the text was read; for an item that is one text.'),
    picture: ImageReceipt.optional().describe('What the file turned out to be; for an item that is one image.'),
    parts: z.array(EmbeddedPart).min(2).optional().describe('The parts of an item that has several, in their order.'),
  })
  .meta({ title: 'EmbeddingItem', description: 'The embedding of one item.' });

export const Usage = z
  .strictObject({
    prompt_tokens: z.int().nonnegative().describe('Tokens that were read of all texts.'),
    images: z.int().nonnegative().describe('Images that were embedded.'),
    total_tokens: z.int().nonnegative().describe('The same as `prompt_tokens`: images have no tokens.'),
    cached: z
      .int()
      .nonnegative()
      .optional()
      .describe(
        'Texts and images that were not computed because their vectors were stored; absent: there is no cache.',
      ),
  })
  .meta({ title: 'Usage', description: 'What the request took.' });
export type Usage = z.infer<typeof Usage>;

export const EmbedResponse = z
  .strictObject({
    object: z.literal('list').describe("OpenAI's name of this form."),
    model: z.string().describe('Id of the model that answered.'),
    space_id: Digest.describe('The space of the vectors: those of different spaces must not be compared.'),
    dimensions: z.int().positive().describe('Length of the vectors.'),
    data: z.array(EmbeddingItem).describe('One embedding per item, in the order of the input.'),
    usage: Usage,
    routing: RoutingReceipt.optional().describe('Where the images were encoded; absent where none had to be.'),
  })
  .meta({ title: 'EmbedResponse', description: 'Answer of POST /embed.' });
export type EmbedResponse = z.infer<typeof EmbedResponse>;

export const FailedItem = z
  .strictObject({
    object: z.literal('error').describe('There is no embedding.'),
    index: z.int().nonnegative().describe('Index of the item in the input.'),
    error: ErrorMember,
  })
  .meta({ title: 'FailedItem', description: 'An item that could not be embedded, and why.' });

export const PartialEmbedResponse = EmbedResponse.extend({
  data: z
    .array(z.discriminatedUnion('object', [EmbeddingItem, FailedItem]))
    .describe('An embedding or an error per item, in the order of the input.'),
  failed: z.int().nonnegative().describe('How many items have an error.'),
  usage: Usage.describe('What the items took that have an embedding.'),
}).meta({ title: 'PartialEmbedResponse', description: 'Answer of POST /embed with `on_error: partial`.' });
export type PartialEmbedResponse = z.infer<typeof PartialEmbedResponse>;
