// POST /classify: which of the labels of a request an item is, without training, or that it is none of them.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { Modality, Truncate, TruncationReceipt, Usage } from '../embed.ts';
import { InputItem } from '../items.ts';
import { byName } from './by-name.ts';

export const ClassifyRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    input: z
      .union([InputItem, z.array(InputItem)], { error: 'must be text, an image or a list of them' })
      .describe('One item or a list of items, texts and images mixed.'),
    labels: z
      .union([z.array(z.string()), byName(z.string(), z.union([z.string(), z.array(z.string())]))], {
        error: 'must be a list of names, or an object from names to sentences about them',
      })
      .describe(
        'What an item may be: names, which go through `templates`, or an object from name to one or several sentences ' +
          'that describe it, which are read as they are.',
      ),
    templates: z
      .array(z.string())
      .optional()
      .describe(
        'Sentences in which {} stands for a name. A label is the mean of its sentences. Absent: `{}` for texts, `{}` and ' +
          '`a photo of a {}` for images.',
      ),
    none_of_these: z
      .union([
        z.boolean(),
        z.strictObject({
          prior: z.number().min(0).max(1).describe('Share of all items that are none of the labels, as you expect it.'),
        }),
      ])
      .optional()
      .describe(
        'Whether an item may be none of the labels; true: with a prior of 0.5. Absent or false: it is one of them. A label is ' +
          'taken to say what the whole item is: what is somewhere in a picture is asked of /similarity, by name.',
      ),
    top_k: z.int().positive().optional().describe('How many labels are answered, the best ones; absent: all.'),
    truncate: Truncate.optional().describe('What happens to a text that is too long; absent: `end`.'),
  })
  .meta({ title: 'ClassifyRequest', description: 'Body of POST /classify.' });
export type ClassifyRequest = z.infer<typeof ClassifyRequest>;

const probability = z.number().min(0).max(1);
export const LabelScore = z
  .strictObject({
    label: z.string().describe('Name of the label.'),
    score: probability.describe('Probability that the item is this one of all choices; they add up to 1.'),
    cosine: z.number().describe("Cosine of the item and the label's vector, in -1..1."),
    calibrated: probability.describe('Probability that the label fits the item, the other labels left aside.'),
  })
  .meta({ title: 'LabelScore', description: 'How well a label fits an item.' });
export type LabelScore = z.infer<typeof LabelScore>;

export const Classification = z
  .strictObject({
    object: z.literal('classification').describe("Jina's name of this form."),
    index: z.int().nonnegative().describe('Index of the item in the input.'),
    modality: Modality.describe('What the item was.'),
    prediction: z.string().nullable().describe('The best label; null where none of them is more probable.'),
    score: probability.describe('Its probability.'),
    predictions: z.array(LabelScore).describe('The labels, the best first.'),
    none_of_these: probability.optional().describe('Probability that it is none of them, where that was asked for.'),
    truncation: TruncationReceipt.optional().describe('How much of a text was read; absent for images.'),
  })
  .meta({ title: 'Classification', description: 'The labels of one item.' });
export type Classification = z.infer<typeof Classification>;

export const ClassifyResponse = z
  .strictObject({
    object: z.literal('list').describe("OpenAI's name of this form."),
    model: z.string().describe('Id of the model that answered.'),
    space_id: Digest.describe('The space of the vectors.'),
    data: z.array(Classification).describe('One entry per item, in the order of the input.'),
    usage: Usage,
  })
  .meta({ title: 'ClassifyResponse', description: 'Answer of POST /classify.' });
export type ClassifyResponse = z.infer<typeof ClassifyResponse>;
