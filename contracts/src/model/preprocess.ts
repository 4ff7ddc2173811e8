// The exact path from the bytes of an image to the input of the image tower.
import * as z from 'zod';

/** Pixels a side of what an image tower reads, at most. */
export const MAX_TOWER_SIDE = 1024;

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
      .max(MAX_TOWER_SIDE)
      .describe(
        'Side of the square input, in pixels; with `patches`, of the square of which no input has more pixels.',
      ),
    patch: z
      .int()
      .min(1)
      .max(MAX_TOWER_SIDE)
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
  .superRefine(({ resize_mode, crop, size, patch }, context) => {
    const refuse = (path: string, message: string): void => context.addIssue({ code: 'custom', path: [path], message });
    if ((resize_mode === 'shortest') !== (crop === 'center'))
      refuse('crop', "preprocess recipe: crop is 'center' with resize_mode 'shortest' and 'none' otherwise");
    if ((resize_mode === 'patches') !== (patch !== undefined))
      refuse('patch', "preprocess recipe: patch is given with resize_mode 'patches' and not otherwise");
    if (size % (patch ?? 1) !== 0) refuse('size', `preprocess recipe: size ${size} is no multiple of patch ${patch}`);
  })
  .meta({
    title: 'PreprocessRecipe',
    description: 'A pixel value x in 0..255 becomes (x / 255 - mean) / std per channel; layout [B, 3, height, width].',
  });
export type PreprocessRecipe = z.infer<typeof PreprocessRecipe>;
