// Stage `prepare`: the user's images and texts become shards, cleaned and split.
import * as z from 'zod';
import { count, countOrNone, fraction } from '../blocks.ts';

export const Split = z
  .enum(['train', 'dev'])
  .meta({ title: 'Split', description: '`train` is learned from, `dev` is measured on and never learned from.' });
export type Split = z.infer<typeof Split>;

/** Kinds of text without images; each has its layout of rows. */
export const TextKind = z.enum(['groups', 'long', 'translations', 'plain', 'concepts']);
export type TextKind = z.infer<typeof TextKind>;

/** A language as BCP 47 writes it: `en`, `pt-BR`; `und-Latn` is some language in Latin script, `und` no language. */
const LanguageTag = z.string().regex(/^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$/);

const fields = z.array(z.string().min(1)).min(1).optional();

/** What a caption is: as it was found beside the image, written short, or written long. */
export const CaptionFields = z
  .strictObject({
    raw: fields.describe('Fields with captions that came with the image.'),
    short: fields.describe('Fields with short written captions.'),
    long: fields.describe('Fields with long written captions.'),
  })
  .meta({ title: 'CaptionFields', description: 'Names of fields that hold captions, by the role of the caption.' });

export const PairSource = z
  .strictObject({
    split: Split,
    format: z
      .enum(['webdataset', 'folder', 'csv', 'jsonl', 'labelled', 'any'])
      .describe(
        '`webdataset`: tar shards with KEY.jpg beside KEY.json or KEY.txt. `folder`: images beside .txt files. `csv` and ' +
          '`jsonl`: a table that names an image file and its captions in each row. `labelled`: NAME.jsonl with a `key`, ' +
          'a label and perhaps `captions` in each row, beside NAME.tar or the shards NAME-….tar that its `shard` names. ' +
          '`any`: whatever fine-tuning recognises: COCO or Karpathy JSON, Parquet, a folder with Hugging Face metadata, a ' +
          'folder per class, a table, tar shards.',
      ),
    path: z
      .string()
      .describe(
        "File, folder or pattern, relative to the data folder (the job's `inputs.data`). `*` matches what is there; every " +
          'file that `{00000..00287}` or `{a,b}` names has to be there.',
      ),
    image_column: z.string().optional().describe('csv, jsonl and any only: the column that names the image file.'),
    caption_column: z.string().optional().describe('csv, jsonl and any only: the column with the caption or captions.'),
    caption_fields: CaptionFields.optional().describe(
      'webdataset, csv and jsonl only: captions by role. A name is a key of KEY.json or a column; `txt` of a tar is ' +
        'KEY.txt. Absent: one caption field, whose captions have no role.',
    ),
    label_column: z
      .string()
      .optional()
      .describe('labelled and any only: the key of a row that holds the label; absent: `label`.'),
    templates: z
      .array(z.string().includes('{}'))
      .min(1)
      .optional()
      .describe(
        'labelled and any only: the captions of a row without captions, with its label for {}; absent: the label alone.',
      ),
    own_split: z
      .enum(['train', 'dev', 'test'])
      .optional()
      .describe('any only: keep only images that the data themselves put into this split; absent keeps all.'),
    class_names: z
      .string()
      .optional()
      .describe(
        'any only: a file of classes as fine-tuning reads it, relative to the data folder: labels that are numbers or keys ' +
          'of it become names. Absent: labels are names.',
      ),
    language: LanguageTag.optional().describe(
      'The language of the captions, where they have one. Captions in another script than that language is written in are tagged by ' +
        'their script. Absent: all are.',
    ),
    only_open: z
      .boolean()
      .optional()
      .describe('labelled only: keep only rows with `"open": true`, those under an open licence; absent keeps all.'),
    hold_out_labels: fraction
      .optional()
      .describe(
        'labelled and any, train only: this fraction of the labels, chosen by a hash of the label, goes to split `unseen`, which ' +
          'nothing is trained on. What one source holds out, no other source of the recipe trains on.',
      ),
    translated_captions: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'Captions of the same images in other languages: by language, a JSON lines file of {key, captions} relative to ' +
          'the data folder.',
      ),
  })
  .meta({ title: 'PairSource', description: 'Images with captions or labels that a user has.' });

export const TextSource = z
  .strictObject({
    split: Split,
    kind: TextKind.describe(
      '`groups`: captions of one image. `long`: long descriptions. `translations`: one caption in several languages; ' +
        'sources of one split are joined on `id`. `plain`: documents. `concepts`: what is known of one thing: names, ' +
        'a gloss, hypernyms, descriptions.',
    ),
    format: z
      .enum(['wordnet', 'imagenet_classes', 'class_descriptions', 'taxonomy'])
      .optional()
      .describe(
        'concepts only: whose layout the file has. Absent: {id, source, name, names, gloss, hypernyms, descriptions, tr} ' +
          'in each row, of which `name` is required.',
      ),
    only_open: z
      .boolean()
      .optional()
      .describe(
        'Keep only what is under an open licence: rows with `"open": true`; of a format, the parts that its publisher ' +
          'states to be open. Absent keeps all.',
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
    shard_size: count.describe('Images per shard that is cut from a folder or a table; a tar becomes one shard.'),
    keys: z
      .enum(['source'])
      .optional()
      .describe(
        '`source`: every key gets the name of its set in front. Absent: only a key that an earlier set uses as well, for ' +
          'which the keys of all images are compared. A key that comes again in another file of its set gets the name of the ' +
          'file, too; one that comes again in the same file becomes the name of its image there: cat/1.jpg beside dog/1.jpg.',
      ),
    near_duplicates: z
      .int()
      .min(0)
      .max(3)
      .optional()
      .describe(
        'An image is left out when its difference hash (64 bits) differs in at most this many bits from that of an ' +
          'earlier one. Absent: only images with equal bytes are doubles.',
      ),
    languages: z
      .array(LanguageTag)
      .min(1)
      .optional()
      .describe(
        'Captions with another tag are left out: the `language` of the source, or by script `ja`, `ko`, `el` and others that alone have ' +
          'theirs, else `und-Latn`, `und-Cyrl` and so on. `zh` stands for `zh-Hant`, too. Absent: all are kept.',
      ),
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
        'Tar of class images with a .jsonl of {key, index} per row beside it, for zero-shot figures; null: none. `key` is the ' +
          "image's name in the tar without its ending.",
      ),
  })
  .meta({ title: 'PrepareConfig', description: 'Configuration of stage `prepare`.' });
