// OpenAI's uploads: a file of lines in parts, each as large as a body may be.
import * as z from 'zod';
import { BULK_LIMITS } from '../../bulk/job.ts';
import type { Operation } from '../operation.ts';
import { OpenAiFile } from './batches.ts';
import { unused } from './fields.ts';

const seconds = z.int().nonnegative();

export const OpenAiUploadRequest = z
  .strictObject({
    filename: z.string().min(1).max(512).describe('Name of the file.'),
    purpose: z.literal('batch').describe('What it is for.'),
    bytes: z.int().min(1).max(BULK_LIMITS.file_bytes).describe('Its size: what the parts have together.'),
    mime_type: z.string().describe('Taken, and not used: a file is one of lines.'),
    expires_after: unused(),
  })
  .meta({ title: 'OpenAiUploadRequest', description: 'Body of POST /v1/uploads for a file that is sent in parts.' });
export type OpenAiUploadRequest = z.infer<typeof OpenAiUploadRequest>;

export const OpenAiUpload = z
  .strictObject({
    id: z.string().describe('Id of the upload.'),
    object: z.literal('upload').describe('Name of this form.'),
    bytes: z.int().nonnegative().describe('Size of the file.'),
    created_at: seconds.describe('Unix time when it was begun.'),
    expires_at: seconds.describe('Unix time when it is removed.'),
    filename: z.string().describe('As it was asked for.'),
    purpose: z.literal('batch').describe('As it was asked for.'),
    status: z.enum(['pending', 'completed', 'cancelled']).describe('`pending`: it takes parts.'),
    file: OpenAiFile.nullable().describe('The file, once it is completed; null: it is not.'),
  })
  .meta({ title: 'OpenAiUpload', description: 'A file that is sent in parts.' });
export type OpenAiUpload = z.infer<typeof OpenAiUpload>;

export const OpenAiUploadPart = z
  .strictObject({
    id: z.string().describe('Id of the part.'),
    object: z.literal('upload.part').describe('Name of this form.'),
    created_at: seconds.describe('Unix time when it was sent.'),
    upload_id: z.string().describe('Of which upload it is.'),
  })
  .meta({ title: 'OpenAiUploadPart', description: 'A part of a file.' });
export type OpenAiUploadPart = z.infer<typeof OpenAiUploadPart>;

export const OpenAiUploadComplete = z
  .strictObject({
    part_ids: z.array(z.string()).min(1).max(1000).describe('Ids of the parts, in the order of the file.'),
  })
  .meta({ title: 'OpenAiUploadComplete', description: 'Body of POST /v1/uploads/{id}/complete.' });
export type OpenAiUploadComplete = z.infer<typeof OpenAiUploadComplete>;

const shared = { door: 'openai', scope: 'jobs', method: 'POST' } as const;

export const UPLOAD_OPERATIONS = {
  addUploadPart: {
    ...shared,
    path: '/v1/uploads/{id}/parts',
    summary: 'Send a part of a file',
    form: {
      type: 'object',
      required: ['data'],
      properties: {
        data: { type: 'string', contentMediaType: 'application/octet-stream', description: 'The bytes of the part.' },
      },
    },
    answer: 'The part.',
    response: OpenAiUploadPart,
  },
  completeUpload: {
    ...shared,
    path: '/v1/uploads/{id}/complete',
    summary: 'Put the parts of a file together',
    request: OpenAiUploadComplete,
    examples: { one: { value: { part_ids: ['part_0123456789abcdef01234567'] } } },
    answer: 'The upload, with its file.',
    response: OpenAiUpload,
  },
  cancelUpload: {
    ...shared,
    path: '/v1/uploads/{id}/cancel',
    summary: 'Give a file in parts up',
    answer: 'The upload, which takes no more parts.',
    response: OpenAiUpload,
  },
} as const satisfies Record<string, Operation>;
