// The pointer of a dataset: which data is current under a recipe's name. Moving it is what starts a training.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { RecipeName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';

export const DatasetPointer = z
  .strictObject({
    schema_version: SchemaVersion,
    name: RecipeName.describe('Name of the dataset: that of the recipe which it is the data of.'),
    digest: Digest.describe('Digest over all of its files: its index is stored under it.'),
    previous: Digest.nullable().describe('The digest before this one; null for the first.'),
    parts: z
      .record(z.string(), Digest)
      .nullable()
      .describe(
        'By part of what `prepare` makes of it, the digest over the files that the part is made from; null where the data was pushed before its recipe was submitted.',
      ),
    tars: z
      .strictObject({
        count: z.int().nonnegative().describe('Number of tars.'),
        bytes: z.int().nonnegative().describe('Their size.'),
      })
      .describe('Tars behind the sources of `prepare`: how many containers share them follows from it.'),
    files: z.int().nonnegative().describe('Number of files.'),
    bytes: z.int().nonnegative().describe('Size of all files.'),
    moved_at: z.iso
      .datetime()
      .describe('When it was moved here, in UTC: it counts where this is after the last submission.'),
  })
  .meta({ title: 'DatasetPointer', description: "Which data is current under a recipe's name." });
export type DatasetPointer = z.infer<typeof DatasetPointer>;
