// Lines of a bulk job: what is to be embedded, what became of it, and what was wrong with it.
import * as z from 'zod';
import { Modality } from '../api/embed.ts';
import { ErrorCode } from '../api/error.ts';
import { ImageItem, TextItem } from '../api/items.ts';
import { Digest } from '../model/artefact.ts';
import { VideoSpan } from './video.ts';

/** Half of a character that UTF-16 writes as two, and NUL: files of vectors and databases hold another name in their place, or none. */
const NOT_IN_NAMES = /\0|\p{Surrogate}/u;
export const isName = (text: string): boolean => !NOT_IN_NAMES.test(text);

const customId = z
  .string()
  .min(1)
  .max(512)
  .refine(isName, { error: 'no NUL and no half of a surrogate pair' })
  .describe('Name of the item in the output; chosen by the user.');
const item = z.int().nonnegative().describe('Number of the item in its shard, from 0.');
const pixels = z.int().positive();

/** Texts and images of one line. */
export const LINE_PARTS = 32;

export const BulkLine = z
  .union([
    z
      .strictObject({ custom_id: customId, text: z.string().describe('The text itself.') })
      .meta({ title: 'BulkText', description: 'A text.' }),
    z
      .strictObject({
        custom_id: customId,
        // An empty one is told of by the core, in the words of any other item.
        image: z.string().describe('Base64 or a data URI of an image file.'),
      })
      .meta({ title: 'BulkImage', description: 'An image inside the line.' }),
    z
      .strictObject({
        custom_id: customId,
        content: z
          .array(z.union([TextItem, ImageItem]))
          .min(1)
          .max(LINE_PARTS)
          .describe('Texts and images that become one vector: the mean of their unit vectors, at unit length.'),
      })
      .meta({ title: 'BulkContent', description: 'Several texts and images that become one vector.' }),
    z
      .strictObject({
        custom_id: customId,
        path: z.string().min(1).describe("An image file, relative to the folder of the job's input."),
      })
      .meta({ title: 'BulkPath', description: 'An image in a file beside the lines.' }),
    z
      .strictObject({
        custom_id: customId,
        uri: z
          .string()
          .regex(/^(file|s3|r2):\/\//)
          .describe("An image file anywhere below the job's sources: `s3://`, `r2://` or `file://`."),
      })
      .meta({ title: 'BulkUri', description: 'An image in an object store.' }),
    z
      .strictObject({
        custom_id: customId,
        tar: z.string().min(1).describe("A WebDataset tar, relative to the folder of the job's input, or a URI."),
      })
      .meta({
        title: 'BulkTar',
        description: 'Every image of a tar, and its videos where the job says how: items named `CUSTOM_ID/MEMBER`.',
      }),
    z
      .strictObject({
        custom_id: customId,
        video: z.string().min(1).describe("A video file, relative to the folder of the job's input, or a URI."),
      })
      .meta({
        title: 'BulkVideo',
        description:
          'The segments of a video, items named `CUSTOM_ID#t=START,END` in seconds (W3C Media Fragments), and the whole of it, named `CUSTOM_ID`.',
      }),
  ])
  .meta({ title: 'BulkLine', description: "One line of a bulk job's input." });
export type BulkLine = z.infer<typeof BulkLine>;

export const BulkResult = z
  .strictObject({
    item,
    custom_id: z.string().describe('As in the input.'),
    modality: z.enum([...Modality.options, 'video']).describe('What the item was.'),
    embedding: z
      .string()
      .describe(
        "Base64 of the vector's bytes: little-endian float32 at unit length, int8, or bits with the first dimension in the highest bit.",
      ),
    space_id: Digest.describe('The space of the vector; those of different spaces must not be compared.'),
    width: pixels.optional().describe('Of an image or a video: its width as it is shown, in pixels.'),
    height: pixels.optional().describe('Of an image or a video: its height as it is shown, in pixels.'),
    video: VideoSpan.optional().describe('Of a video: which part of it.'),
    truncated: z.literal(true).optional().describe('Of a text: its end was cut off, the model reads no more.'),
    warnings: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('Of an image, or of a video as a whole: what was wrong, which was read all the same.'),
  })
  .meta({ title: 'BulkResult', description: 'One line of `part-NNNN.jsonl`.' });
export type BulkResult = z.infer<typeof BulkResult>;

export const BulkError = z
  .strictObject({
    item,
    custom_id: z.string().nullable().describe('As in the input; null where the line itself could not be read.'),
    code: ErrorCode,
    message: z.string().describe('A sentence that says why.'),
  })
  .meta({ title: 'BulkError', description: 'One line of `errors-NNNN.jsonl`.' });
export type BulkError = z.infer<typeof BulkError>;
