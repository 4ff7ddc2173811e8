// The files of a user's data, as uploaded: what a container downloads and compares with.
import * as z from 'zod';
import { DATA_FILES } from '../keys.ts';
import { Artefact } from '../model/artefact.ts';
import { SchemaVersion } from '../schema-version.ts';

export const DataIndex = z
  .strictObject({
    schema_version: SchemaVersion,
    files: z
      .array(Artefact)
      .describe('Every file that the recipe reads; paths are those it has on the machine that reads it.'),
    files_at: z
      .literal(DATA_FILES)
      .optional()
      .describe(
        'Folder of the files, relative to that of the index; each is named by the hexadecimal digits of its digest. Absent: they are beside the index, by their paths.',
      ),
  })
  .meta({
    title: 'DataIndex',
    description:
      '`index.json` in the folder of the data, written last: its presence means that the upload is complete.',
  });
export type DataIndex = z.infer<typeof DataIndex>;
