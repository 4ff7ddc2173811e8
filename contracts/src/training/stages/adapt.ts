// Stage `adapt`: an exported model learns a user's own images and what is said about them.
import * as z from 'zod';
import { ModelName } from '../../names.ts';
import { count, countOrNone, fraction, Schedule, weight } from '../blocks.ts';

export const OwnData = z
  .strictObject({
    path: z
      .string()
      .describe(
        'Folder, CSV, JSON lines, Parquet, COCO or Karpathy JSON, or tar with images and what is said about them, relative ' +
          'to the data folder.',
      ),
    dev_path: z
      .string()
      .nullable()
      .describe('The same for images to measure on and not to learn from; null: some of `path` are kept for that.'),
    dev_share: fraction.describe('Fraction of the images of `path`, of every class, that is measured on instead.'),
    classes: z
      .string()
      .nullable()
      .describe(
        'File of class names and descriptions, relative to the data folder; null: the data name their classes.',
      ),
    further_captions: z
      .string()
      .nullable()
      .describe(
        'JSON lines of {key, captions} and {label, captions}: more about images to learn from and about classes, relative to the data folder.',
      ),
    image_column: z.string().nullable().describe('Column that names the image; null: guessed among the usual names.'),
    caption_columns: z
      .array(z.string())
      .nullable()
      .describe('Columns with captions, titles or descriptions; null: guessed among the usual names.'),
    class_column: z.string().nullable().describe('Column that names the class; null: guessed among the usual names.'),
  })
  .meta({ title: 'OwnData', description: 'Images of a user and what is said about them.' });
export type OwnData = z.infer<typeof OwnData>;

export const AdaptConfig = z
  .strictObject({
    stage: z.literal('adapt').describe('Name of the stage.'),
    model: z
      .string()
      .describe(
        'Folder of an exported model, manifest.json and what it names, to start from; relative to the data folder.',
      ),
    name: ModelName.describe('Name of the new model.'),
    version: z.string().min(1).describe('Version of the new model, as people count it.'),
    own: OwnData,
    space: z
      .enum(['keep', 'new'])
      .describe(
        '`keep`: the text side alone adapts, so vectors of images stay valid and `space_id` is the same. `new`: the image ' +
          'tower adapts, too, and images have to be embedded again.',
      ),
    text_start: z
      .enum(['model', 'scratch'])
      .describe(
        "`model`: the text side goes on from the model's. `scratch`: the control: a text side of the same shape from random " +
          "weights, trained with CLIP's loss on the same images, texts and steps.",
      ),
    image_fraction: fraction.describe(
      'Where the space is new: the most of the weights of the image tower, from its end, that are trained; the head always.',
    ),
    crops: countOrNone.describe('Random crops kept of each image, beside the whole.'),
    crop_scale: z.tuple([fraction, fraction]).describe('Least and greatest fraction of the area that a crop keeps.'),
    batch_size: count.describe('Images per step.'),
    image_lr: weight.describe('Peak learning rate of the image tower, below its head.'),
    head_rate: weight
      .optional()
      .describe('The learning rate of the head of the image tower, as a multiple of `image_lr`. Absent: 2.'),
    static_lr: weight.describe('Peak learning rate of the static table.'),
    ema_decay: fraction
      .optional()
      .describe('Decay of the running mean of the weights, which is the result. Absent: 0.98.'),
    label_smoothing: fraction
      .optional()
      .describe(
        'Share of the target of an image that is spread over all classes of a step (Szegedy et al., CVPR 2016): few pictures ' +
          'are learned by heart less. Absent: 0.',
      ),
    schedule: Schedule,
    minutes: z
      .number()
      .positive()
      .nullable()
      .describe('Take fewer steps if all of them would take longer than this; null: take all.'),
    general_texts: count.describe('Texts about anything whose vectors the text side is held to.'),
    general_weight: weight.describe('Weight of holding them, beside learning what is new.'),
    general_images: z
      .string()
      .optional()
      .describe(
        'Images of anything with captions that no part of the model has learned from, in any form that `own.path` may have; ' +
          'relative to the data folder. Verdicts on searches are fitted on them where too few own images are measured on. ' +
          'Absent, or not on the machine: not at all.',
      ),
  })
  .meta({ title: 'AdaptConfig', description: 'Configuration of stage `adapt`.' });
export type AdaptConfig = z.infer<typeof AdaptConfig>;
