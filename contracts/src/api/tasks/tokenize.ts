// POST /tokenize: the tokens of texts, where they stand in them, and where a text would be cut.
import * as z from 'zod';
import { TruncationReceipt } from '../embed.ts';

export const OffsetUnits = z.enum(['utf16', 'code_points', 'bytes']).meta({
  title: 'OffsetUnits',
  description:
    'What `start` and `end` count. `utf16`: UTF-16 code units, as JavaScript and Java index a string. `code_points`: as ' +
    'Python does. `bytes`: of UTF-8, as Go and Rust do.',
});
export type OffsetUnits = z.infer<typeof OffsetUnits>;

export const TokenizeRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    input: z
      .union([z.string(), z.array(z.string())])
      .describe(
        'A text or a list of texts, as many as GET /v1/limits says of `items`, which may have 200,000 UTF-16 units together. ' +
          'Its `tokens` are of what is embedded, not of these.',
      ),
    truncate: z
      .enum(['start', 'end'])
      .optional()
      .describe('At which end a text that is too long would be cut; absent: `end`.'),
    units: OffsetUnits.optional().describe('What `start` and `end` count; absent: `utf16`.'),
  })
  .meta({ title: 'TokenizeRequest', description: 'Body of POST /tokenize.' });
export type TokenizeRequest = z.infer<typeof TokenizeRequest>;

const offset = (edge: string) =>
  z
    .int()
    .nonnegative()
    .nullable()
    .describe(`Where it ${edge} in the text, in the units asked for; null where special.`);
export const TextToken = z
  .strictObject({
    id: z.int().nonnegative().describe('Row of the vocabulary.'),
    piece: z.string().describe('Entry of the vocabulary; `##` marks the continuation of a word.'),
    text: z.string().describe('The part of the text that it stands for, as it was sent; empty where special.'),
    special: z.boolean().describe('Whether the model adds it by itself.'),
    start: offset('begins'),
    end: offset('ends'),
    read: z.boolean().describe('Whether the model reads it: false for what is cut off.'),
  })
  .meta({ title: 'TextToken', description: 'A token of a text.' });
export type TextToken = z.infer<typeof TextToken>;

export const TokenizeResponse = z
  .strictObject({
    object: z.literal('list').describe("OpenAI's name of this form."),
    model: z.string().describe('Id of the model whose tokens they are.'),
    context_length: z.int().positive().describe('Tokens of a text that the model reads.'),
    data: z
      .array(
        z
          .strictObject({
            object: z.literal('tokens').describe('Name of this form.'),
            index: z.int().nonnegative().describe('Index of the text in the input.'),
            tokens: z.array(TextToken).describe('All tokens in the order of the text, special ones included.'),
            truncation: TruncationReceipt.describe('What /embed would say of this text.'),
          })
          .meta({ title: 'TokenizedText', description: 'The tokens of one text.' }),
      )
      .describe('One entry per text, in the order of the input.'),
  })
  .meta({ title: 'TokenizeResponse', description: 'Answer of POST /tokenize.' });
export type TokenizeResponse = z.infer<typeof TokenizeResponse>;
