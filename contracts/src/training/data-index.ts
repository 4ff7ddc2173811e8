// The files of a user's data, as uploaded: what a container downloads and compares with.
import { z } from 'zod';
import { Artefact } from '../model/artefact.ts';
import { SchemaVersion } from '../schema-version.ts';

export const DataIndex = z
  .strictObject({
    schema_version: SchemaVersion,
    files: z
      .array(Artefact)
      .describe('Every file that the recipe reads; paths are relative to the folder of the index.'),
  })
  .meta({
    title: 'DataIndex',
    description:
      '`index.json` in the folder of the data, written last: its presence means that the upload is complete.',
  });
export type DataIndex = z.infer<typeof DataIndex>;
