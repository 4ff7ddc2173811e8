// Stage `prepare`: the user's images and texts become shards, cleaned and split.
import { z } from 'zod';
import { count, countOrNone } from './blocks.ts';

const Split = z
  .enum(['train', 'dev'])
  .meta({ title: 'Split', description: '`train` is learned from, `dev` is measured on and never learned from.' });

export const PairSource = z
  .strictObject({
    split: Split,
    format: z
      .enum(['webdataset', 'folder', 'csv', 'jsonl'])
      .describe(
        '`webdataset`: tar shards with KEY.jpg beside KEY.json or KEY.txt. `folder`: images beside .txt files. `csv` and ' +
          '`jsonl`: a table that names an image file and its captions in each row.',
      ),
    path: z.string().describe("File, folder or pattern (`*`), relative to the data folder (the job's `inputs.data`)."),
    image_column: z.string().optional().describe('csv and jsonl only: the column that names the image file.'),
    caption_column: z.string().optional().describe('csv and jsonl only: the column with the caption or captions.'),
  })
  .meta({ title: 'PairSource', description: 'Images with captions that a user has.' });

export const TextSource = z
  .strictObject({
    split: Split,
    kind: z
      .enum(['groups', 'long', 'translations', 'plain'])
      .describe(
        '`groups`: captions of one image. `long`: long descriptions. `translations`: one caption in several languages. ' +
          '`plain`: documents.',
      ),
    path: z.string().describe('JSON lines file, relative to the data folder.'),
    sources: z
      .array(z.string())
      .optional()
      .describe('Keep only rows whose `source` is one of these; absent keeps all.'),
  })
  .meta({ title: 'TextSource', description: 'Text without images.' });

export const PrepareConfig = z
  .strictObject({
    stage: z.literal('prepare').describe('Name of the stage.'),
    pairs: z.array(PairSource).min(1).describe('Where images and their captions come from.'),
    texts: z.array(TextSource).describe('Where further texts come from.'),
    max_side: count.describe(
      'Images with a longer side than this are shrunk to it, aspect ratio kept, before they are stored; in pixels.',
    ),
    min_side: count.describe('Images with a shorter side than this are left out; in pixels.'),
    max_pixels: count.describe('Images with more pixels than this are left out.'),
    shard_size: count.describe('Images per shard.'),
    min_caption_chars: count.describe('Shorter captions are left out; in characters.'),
    max_caption_chars: count.describe('Longer captions are left out; in characters.'),
    fragments: countOrNone.describe(
      'How many of the most frequent short phrases of the train captions become texts of their own (search-box queries).',
    ),
    classes: z
      .string()
      .nullable()
      .describe(
        'Class names and prompt templates, a ClassFile relative to the data folder; null: no zero-shot figures.',
      ),
    class_images: z
      .string()
      .nullable()
      .describe(
        'Tar of class images with a .jsonl of {key, index} per row beside it, for zero-shot figures; null: none.',
      ),
  })
  .meta({ title: 'PrepareConfig', description: 'Configuration of stage `prepare`.' });
