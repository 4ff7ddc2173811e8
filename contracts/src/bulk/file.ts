// A file that was sent for bulk jobs, as it is stored beside its content.
import * as z from 'zod';
import { SchemaVersion } from '../schema-version.ts';

/** What its sender and everybody else sees of it. */
export const FileIdentity = z.strictObject({
  id: z.string().describe('Id of the file.'),
  filename: z.string().describe('As it was sent.'),
  purpose: z.enum(['batch', 'batch_output']).describe('What it is for.'),
  bytes: z.int().nonnegative().describe('Its size.'),
});

export const BulkFile = z
  .strictObject({
    schema_version: SchemaVersion,
    ...FileIdentity.shape,
    owner: z
      .string()
      .nullable()
      .describe('Who may see it: the prefix of an API key; null: everybody who may see jobs.'),
    created_at: z.iso.datetime().describe('When it was sent.'),
    deleted: z.boolean().describe('Whether its content was removed.'),
    parts: z
      .array(z.string())
      .min(1)
      .nullable()
      .describe('Ids of the parts that it was sent in, in their order; null: it was sent as a whole.'),
    upload: z.string().nullable().describe('Id of the upload that the parts belong to; null: there is none.'),
  })
  .meta({ title: 'BulkFile', description: '`file.json` of a file that was sent: written after its content.' });
export type BulkFile = z.infer<typeof BulkFile>;

export const BulkUpload = z
  .strictObject({
    schema_version: SchemaVersion,
    ...FileIdentity.shape,
    bytes: FileIdentity.shape.bytes.describe('Its size once all parts are there.'),
    owner: BulkFile.shape.owner,
    created_at: z.iso.datetime().describe('When it was begun.'),
    cancelled: z.boolean().describe('Whether it takes parts no more, and none is kept.'),
    parts: z
      .array(z.string())
      .min(1)
      .optional()
      .describe('Ids of the parts that it was completed with, in their order; absent: it was not.'),
  })
  .meta({
    title: 'BulkUpload',
    description: '`upload.json` of a file that is sent in parts: written before them, and once more when it ends.',
  });
export type BulkUpload = z.infer<typeof BulkUpload>;
