// Fields that the doors of other services share.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { EmbeddedPart, Modality, TruncationReceipt } from '../embed.ts';

/** What a service's clients send and what changes nothing here. */
export const unused = () => z.unknown().optional().describe('Taken and not used.');

export const unitVectors = () =>
  z.literal(true).optional().describe('Only true: vectors have unit length, also where they are shortened.');

/** Ours beside a vector in another service's answer; its clients keep or ignore it. */
const OWN_FIELDS = {
  modality: Modality.describe('Ours: what the item was.'),
  space_id: Digest.describe('Ours: the space of the vector; those of different spaces must not be compared.'),
  truncation: TruncationReceipt.optional().describe(
    'Ours: how much of the text was read, of an item that is one text.',
  ),
  parts: z.array(EmbeddedPart).min(2).optional().describe('Ours: the parts of an item that has several.'),
};

export const TokenUsage = z
  .strictObject({
    prompt_tokens: z.int().nonnegative().describe('Tokens that were read of all texts.'),
    total_tokens: z.int().nonnegative().describe('The same: images have no tokens.'),
  })
  .describe('What the request took.');

interface ListParts<V, U> {
  /** Name of an item's form, where it is not always the same. */
  object?: z.ZodType<string>;
  embedding: V;
  usage: U;
}
/** The list that OpenAI, Jina, Mixedbread and Voyage answer with, whose vectors and usage differ. */
export function embeddingList<V extends z.ZodType, U extends z.ZodType>({ object, embedding, usage }: ListParts<V, U>) {
  return z.strictObject({
    object: z.literal('list').describe('Name of this form.'),
    data: z
      .array(
        z.strictObject({
          object: (object ?? z.literal('embedding')).describe('Name of this form.'),
          index: z.int().nonnegative().describe('Index of the item in the input.'),
          embedding,
          ...OWN_FIELDS,
        }),
      )
      .describe('One embedding per item, in the order of the input.'),
    model: z.string().describe('Id of the model that answered.'),
    space_id: Digest.describe('Ours: the space of the vectors.'),
    usage,
  });
}
