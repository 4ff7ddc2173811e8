// Stage `embed_images`: the frozen image tower runs once over every crop; `clip` reads its activations and features.
import * as z from 'zod';
import { Backbone, count, countOrNone, fraction } from '../blocks.ts';

export const EmbedImagesConfig = z
  .strictObject({
    stage: z.literal('embed_images').describe('Name of the stage.'),
    backbone: Backbone,
    first_trainable_block: countOrNone
      .nullable()
      .describe(
        'Index of the first backbone block that `clip` trains; the ones before it are frozen. null: the whole backbone ' +
          'is frozen, and only the head is trained.',
      ),
    images: z
      .enum(['cached', 'streamed'])
      .optional()
      .describe(
        '`cached`: train images are decoded once, and the activations of `crops` crops of each are stored. `streamed`: nothing ' +
          'of train images is stored; `clip` decodes them from their shards at every step, each time with another crop. Absent: ' +
          'streamed above 50,000 train images, cached up to there.',
      ),
    crops: count.describe('Different crops per image that are stored; of streamed images every crop is a new one.'),
    crop_scale: z
      .tuple([fraction, fraction])
      .describe('Smallest and largest area of a crop, as fractions of the image.'),
    flip: z.boolean().describe('Whether half of the crops are mirrored.'),
    low_resolution: fraction.describe(
      'Fraction of the crops of an image that are shrunk first, as small pictures are; what the frozen tower is asked ' +
        'about them (regulariser, softmax) is what it makes of the crop before.',
    ),
    low_resolution_side: z
      .tuple([count, count])
      .describe('Least and largest shorter side that such a crop is shrunk to, in pixels.'),
  })
  .meta({ title: 'EmbedImagesConfig', description: 'Configuration of stage `embed_images`.' });
