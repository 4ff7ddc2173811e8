// OpenAI's files and batches, as far as embeddings need them: a file of requests in, files of answers and of errors out.
import * as z from 'zod';
import { FileIdentity } from '../../bulk/file.ts';
import type { Operation } from '../operation.ts';
import { byName } from '../tasks/by-name.ts';
import { RequestCounts } from '../tasks/jobs.ts';
import { PAGE, paged } from '../tasks/pages.ts';
import { OpenAIEmbeddingsRequest } from './openai.ts';

export const BATCH_ENDPOINT = '/v1/embeddings';

const seconds = z.int().nonnegative();

export const OpenAiFile = z
  .strictObject({
    ...FileIdentity.shape,
    object: z.literal('file').describe('Name of this form.'),
    created_at: seconds.describe('Unix time when it was sent or made.'),
    expires_at: seconds.describe('Unix time when it is removed.'),
    status: z.literal('processed').describe('It can be used.'),
  })
  .meta({ title: 'OpenAiFile', description: 'A file.' });
export type OpenAiFile = z.infer<typeof OpenAiFile>;

export const OpenAiFileList = paged(OpenAiFile).meta({
  title: 'OpenAiFileList',
  description: 'Answer of GET /v1/files.',
});
export type OpenAiFileList = z.infer<typeof OpenAiFileList>;

export const OpenAiFileDeleted = z
  .strictObject({
    id: z.string().describe('Id of the file.'),
    object: z.literal('file').describe('Name of this form.'),
    deleted: z.literal(true).describe('It is gone.'),
  })
  .meta({ title: 'OpenAiFileDeleted', description: 'Answer of DELETE /v1/files/{id}.' });
export type OpenAiFileDeleted = z.infer<typeof OpenAiFileDeleted>;

/** A line of the input file. */
export const BatchLine = z
  .strictObject({
    custom_id: z.string().min(1).max(512).describe('Name of the request in the output; chosen by the user.'),
    method: z.literal('POST').describe('HTTP method.'),
    url: z.literal(BATCH_ENDPOINT).describe('The endpoint of the batch.'),
    body: OpenAIEmbeddingsRequest,
  })
  .meta({ title: 'BatchLine', description: 'One request of a batch.' });
export type BatchLine = z.infer<typeof BatchLine>;

export const BatchRequest = z
  .strictObject({
    input_file_id: z.string().min(1).describe('Id of a file with the purpose `batch`.'),
    endpoint: z.literal(BATCH_ENDPOINT).describe('Only embeddings.'),
    completion_window: z.literal('24h').describe('Within which the batch ends or expires.'),
    metadata: byName(z.string().max(64), z.string().max(512)).optional().describe('Kept and given back.'),
  })
  .meta({ title: 'BatchRequest', description: 'Body of POST /v1/batches.' });
export type BatchRequest = z.infer<typeof BatchRequest>;

const moment = (what: string) => seconds.nullable().describe(`Unix time when it ${what}; null: it did not.`);

export const OpenAiBatch = z
  .strictObject({
    id: z.string().describe('Id of the batch.'),
    object: z.literal('batch').describe('Name of this form.'),
    endpoint: z.literal(BATCH_ENDPOINT).describe('As it was asked for.'),
    errors: z
      .strictObject({
        object: z.literal('list').describe('Name of this form.'),
        data: z
          .array(
            z.strictObject({
              code: z.string().describe('What went wrong.'),
              message: z.string().describe('A sentence that says why.'),
            }),
          )
          .describe('Why the batch as a whole failed.'),
      })
      .nullable()
      .describe('Null: it did not fail.'),
    input_file_id: z.string().describe('As it was asked for.'),
    completion_window: z.literal('24h').describe('As it was asked for.'),
    status: z
      .enum(['validating', 'in_progress', 'completed', 'failed', 'expired', 'cancelled'])
      .describe('How far it is; the last four are final.'),
    output_file_id: z.string().nullable().describe('The answers; null while there are none, or all requests failed.'),
    error_file_id: z.string().nullable().describe('Requests that failed; null: there are none.'),
    created_at: seconds.describe('Unix time when it was asked for.'),
    in_progress_at: moment('began'),
    expires_at: moment('is given up'),
    completed_at: moment('was completed'),
    failed_at: moment('failed'),
    expired_at: moment('expired'),
    cancelled_at: moment('was cancelled'),
    request_counts: RequestCounts.extend({ total: z.int().nonnegative().describe('Requests in all.') }).describe(
      'How far it is: the sum over what is finished.',
    ),
    metadata: byName(z.string(), z.string()).nullable().describe('As it was sent; null: none was.'),
  })
  .meta({ title: 'OpenAiBatch', description: 'A batch and how far it is.' });
export type OpenAiBatch = z.infer<typeof OpenAiBatch>;

export const OpenAiBatchList = paged(OpenAiBatch).meta({
  title: 'OpenAiBatchList',
  description: 'Answer of GET /v1/batches.',
});
export type OpenAiBatchList = z.infer<typeof OpenAiBatchList>;

/** What the SDK may say besides of a list of files. */
const FILE_PAGE = {
  ...PAGE,
  order: z.literal('desc').describe('The newest first: there is no other order.'),
  purpose: z.literal('batch').describe('All files have it.'),
};
export const FilePageQuery = z.strictObject(FILE_PAGE).partial();

const shared = { door: 'openai', scope: 'jobs' } as const;

export const BATCH_OPERATIONS = {
  createFile: {
    ...shared,
    method: 'POST',
    path: '/v1/files',
    summary: 'Send a file of requests',
    form: {
      type: 'object',
      required: ['file', 'purpose'],
      properties: {
        file: {
          type: 'string',
          contentMediaType: 'application/octet-stream',
          description: 'JSON lines: of a batch requests, of a bulk job items.',
        },
        purpose: { type: 'string', enum: ['batch'], description: 'What it is for.' },
      },
    },
    answer: 'The file.',
    response: OpenAiFile,
  },
  listFiles: {
    ...shared,
    method: 'GET',
    path: '/v1/files',
    summary: 'List files',
    query: FILE_PAGE,
    answer: "The caller's files.",
    response: OpenAiFileList,
  },
  retrieveFile: {
    ...shared,
    method: 'GET',
    path: '/v1/files/{id}',
    summary: 'One file',
    answer: 'The file.',
    response: OpenAiFile,
  },
  retrieveFileContent: {
    ...shared,
    method: 'GET',
    path: '/v1/files/{id}/content',
    summary: 'What is in a file',
    hasRanges: true,
    answer: 'Its bytes.',
    answerType: 'application/octet-stream',
    response: z.string().describe('Bytes.'),
  },
  deleteFile: {
    ...shared,
    method: 'DELETE',
    path: '/v1/files/{id}',
    summary: 'Remove a file',
    answer: 'It is gone.',
    response: OpenAiFileDeleted,
  },
  createBatch: {
    ...shared,
    method: 'POST',
    path: '/v1/batches',
    summary: 'Answer a file of requests while nobody waits',
    description: "OpenAI's batches for `/v1/embeddings`: each line of the file is one request.",
    hasIdempotencyKey: true,
    request: BatchRequest,
    examples: {
      one: {
        value: {
          input_file_id: 'file_0123456789abcdef01234567',
          endpoint: BATCH_ENDPOINT,
          completion_window: '24h',
        },
      },
    },
    answer: 'The batch, which has only begun.',
    response: OpenAiBatch,
  },
  listBatches: {
    ...shared,
    method: 'GET',
    path: '/v1/batches',
    summary: 'List batches',
    query: PAGE,
    answer: "The caller's batches.",
    response: OpenAiBatchList,
  },
  retrieveBatch: {
    ...shared,
    method: 'GET',
    path: '/v1/batches/{id}',
    summary: 'How far a batch is',
    answer: 'The batch.',
    response: OpenAiBatch,
  },
  cancelBatch: {
    ...shared,
    method: 'POST',
    path: '/v1/batches/{id}/cancel',
    summary: 'Cancel a batch',
    answer: 'The batch.',
    response: OpenAiBatch,
  },
} as const satisfies Record<string, Operation>;
