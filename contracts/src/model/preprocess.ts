// The exact path from the bytes of an image to the input of the image tower.
import * as z from 'zod';

export const PreprocessRecipe = z
  .strictObject({
    resize_mode: z
      .enum(['squash', 'shortest', 'longest', 'patches'])
      .describe(
        '`squash` resizes both sides to `size` and ignores the aspect ratio, `shortest` resizes the shorter side to `size` ' +
          'and crops the centre, `longest` fits the longer side and pads. `patches` keeps the shape: both sides are scaled ' +
          'alike and rounded up to multiples of `patch`, as large as fits into `size` x `size` pixels (SigLIP 2, NaFlex).',
      ),
    size: z
      .int()
      .min(1)
      .max(1024)
      .describe(
        'Side of the square input, in pixels; with `patches`, of the square of which no input has more pixels.',
      ),
    patch: z
      .int()
      .min(1)
      .max(1024)
      .optional()
      .describe('Side of a patch, in pixels, of which `size` is a multiple. With `patches` alone, and always there.'),
    interpolation: z
      .enum(['bicubic', 'bilinear'])
      .describe("Pillow's filter of that name on 8-bit samples, with antialiasing, rows before columns."),
    crop: z.enum(['none', 'center']).describe('What is cut off after resizing.'),
    mean: z.array(z.number()).length(3).describe('Per channel, subtracted from a value in 0..1.'),
    std: z.array(z.number().positive()).length(3).describe('Per channel, what the difference is divided by.'),
    color: z.literal('rgb').describe('Order of the channels.'),
  })
  .meta({
    title: 'PreprocessRecipe',
    description: 'A pixel value x in 0..255 becomes (x / 255 - mean) / std per channel; layout [B, 3, height, width].',
  });
export type PreprocessRecipe = z.infer<typeof PreprocessRecipe>;
