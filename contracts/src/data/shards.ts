// Manifests of what is cut into shards: images with captions, texts, and features of captions beside the images' shards.
import * as z from 'zod';
import { Artefact, Digest } from '../model/artefact.ts';
import { SchemaVersion } from '../schema-version.ts';
import { TextKind } from '../training/stages/prepare.ts';

/** Train images. Of more, no stage holds anything of each: captions are embedded shard by shard, images are streamed. */
export const LARGE_SET = 50_000;

/** Folder of what `prepare` leaves for its join, in its output: an element is done once its report `NNNNN.json` is there. */
export const ELEMENTS = 'elements';

/** In the report of `prepare`: seconds that one machine would have taken for all elements; containers share them. */
export const FIGURE_ELEMENT_SECONDS = 'element_seconds';

/** `unseen`: labelled images of labels that nothing is trained on. */
const ShardSplit = z.enum(['train', 'dev', 'unseen']);

export const PreparedShard = z
  .strictObject({
    kind: z.enum(['pairs', 'fragments', ...TextKind.options]).describe('Images with captions, or a kind of texts.'),
    split: ShardSplit.describe('What it is for.'),
    source: z.string().describe('Name of the set that it was made from; of texts their kind.'),
    rows: Artefact.describe('JSON lines, one for each image or text.'),
    images: Artefact.optional().describe('The tar with the images, for `pairs`.'),
    count: z.int().positive().describe('Number of rows.'),
    labelled: z
      .int()
      .nonnegative()
      .optional()
      .describe('Number of rows with a label, of `pairs`. Absent: written before it was counted.'),
    captions: z.int().nonnegative().describe('Number of captions in the rows; of texts without captions 0.'),
    regions: z
      .int()
      .positive()
      .optional()
      .describe('Number of regions (boxes with phrases) in the rows, of `pairs`. Absent: none.'),
  })
  .meta({ title: 'PreparedShard', description: 'One shard: a rank of training reads only those it needs.' });

export const PreparedDrop = z
  .strictObject({
    source: z.string().describe('Path of the source in the recipe.'),
    reason: z.string().describe('Why images or captions were left out.'),
    count: z.int().positive().describe('How many.'),
    examples: z.array(z.string()).max(5).describe('The first of them, by key, with what was found.'),
  })
  .meta({ title: 'PreparedDrop', description: 'What `prepare` left out of a source for one reason.' });

export const PreparedManifest = z
  .strictObject({
    schema_version: SchemaVersion,
    shards: z.array(PreparedShard).min(1).describe('In the order of the rows; files are beside the manifest.'),
    languages: z
      .record(z.string(), z.int().positive())
      .optional()
      .describe('Captions of pairs by language tag. Absent: the recipe speaks of no language.'),
    drops: z.array(PreparedDrop).describe('By source and reason, the most frequent first.'),
  })
  .meta({
    title: 'PreparedManifest',
    description: '`shards.json` of `prepare`: its shards, their sizes and digests, and what was left out.',
  });
export type PreparedManifest = z.infer<typeof PreparedManifest>;

export const FeatureShard = z
  .strictObject({
    file: Artefact.describe('safetensors: `features`, `first` and, of int8, `scale`.'),
    groups: z.int().nonnegative().describe('Images (or other owners of texts) whose rows are in it.'),
    rows: z.int().nonnegative().describe('Rows of features: all texts of all groups.'),
  })
  .meta({ title: 'FeatureShard', description: 'Features of the texts of one shard, group by group.' });

export const FeatureManifest = z
  .strictObject({
    schema_version: SchemaVersion,
    of: Digest.describe('Digest over the rows of the shards that the features belong to, in their order.'),
    dtype: z.enum(['bf16', 'int8']).describe('`int8`: integers with one float32 scale a row.'),
    width: z.int().positive().describe('Numbers in a row.'),
    shards: z.array(FeatureShard).min(1).describe('One for each shard of `of`, in the same order.'),
  })
  .meta({ title: 'FeatureManifest', description: '`features.json`, written last: the parts of a feature store.' });
export type FeatureManifest = z.infer<typeof FeatureManifest>;
