// `?dry_run=1`: what a request would read, use and cost. Nothing is embedded.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import { Modality, TruncationReceipt, Usage } from '../embed.ts';
import { ImageType } from '../encode.ts';
import { ErrorMember } from '../error.ts';

const Picture = z
  .strictObject({
    type: ImageType,
    width: z.int().positive().describe('In pixels, as the file has them: not turned yet.'),
    height: z.int().positive().describe('In pixels, as the file has them: not turned yet.'),
  })
  .meta({
    title: 'DryRunPicture',
    description: "What the header of an image's file says; the rest of it is not read.",
  });

const receipts = {
  truncation: TruncationReceipt.optional().describe('How much of the text is read; absent for what is no single text.'),
  picture: Picture.optional().describe('What the image file is; absent for what is no single image.'),
};

export const DryRunItem = z
  .strictObject({
    param: z.string().describe('Where the item stands in the request, such as `input.0` or `b.3`.'),
    modality: Modality.optional().describe('What the item is; absent where it would be refused.'),
    ...receipts,
    parts: z
      .array(
        z
          .strictObject({ modality: z.enum(['text', 'image']).describe('What the part is.'), ...receipts })
          .meta({ title: 'DryRunPart', description: 'A part of an item of several texts and images.' }),
      )
      .min(2)
      .optional()
      .describe('The parts of an item that has several, in their order.'),
    error: ErrorMember.optional().describe('Why the item would be refused; only with `on_error: partial`.'),
  })
  .meta({ title: 'DryRunItem', description: 'An item that would be embedded; ready vectors are none.' });

export const DryRunResponse = z
  .strictObject({
    object: z.literal('dry_run').describe('Name of this form.'),
    model: z.string().describe('Id of the model that would answer.'),
    space_id: Digest.describe('The space of the vectors.'),
    dimensions: z.int().positive().describe('Length of the vectors.'),
    items: z.array(DryRunItem).describe('The items in their order; of both sides, those of `a` first.'),
    usage: Usage.describe('What the request would be charged for.'),
    pixels: z.int().nonnegative().describe('Pixels of all images, as they were sent.'),
    price: z
      .strictObject({
        amount: z.number().nonnegative().describe('What that usage costs.'),
        currency: z.string().describe('In this currency, by its three letters of ISO 4217.'),
      })
      .optional()
      .describe('An estimate; absent where the operator has set no prices.'),
  })
  .meta({ title: 'DryRunResponse', description: 'Answer of POST /embed and POST /similarity with `dry_run=1`.' });
export type DryRunResponse = z.infer<typeof DryRunResponse>;

/** Parameters of operations that can be asked first. */
export const DRY_RUN = {
  dry_run: z
    .enum(['1', 'true'])
    .describe('Checks the request and says what it would read, use and cost; embeds nothing and charges nothing.'),
};
