// OpenAI's files and batches: forms are read here, everything else is done by the service of bulk jobs.

import type { BATCH_OPERATIONS } from '../../../contracts/src/api/doors/batches.ts';
import type { UPLOAD_OPERATIONS } from '../../../contracts/src/api/doors/uploads.ts';
import type { Scope } from '../../../contracts/src/api/operation.ts';
import { fieldOf } from '../../../contracts/src/json.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { CoreError, shortened } from '../../core/errors.ts';
import type { Call, Handler } from '../dependencies.ts';
import { readForm, readJson } from '../http/body.ts';
import type { FormField } from '../http/multipart.ts';
import type { Reply } from '../http/reply.ts';
import { passOn, queryOf } from './pass-on.ts';

const FIELDS = ['file', 'purpose'];

async function createFile(call: Call): Promise<Reply> {
  const fields = await readForm(call.request, '-F purpose=batch -F file=@FILE');
  // SDKs may also send when a file expires, which is the same for all files here.
  const unknown = fields.find(({ name }) => !FIELDS.includes(name) && !name.startsWith('expires_after'));
  if (unknown)
    throw new CoreError('unknown_key', `A file has the fields file and purpose, not ${shortened(unknown.name)}.`, {
      param: unknown.name,
    });
  const file = onlyField(fields, 'file');
  const purpose = onlyField(fields, 'purpose')?.value;
  if (!file)
    throw new CoreError(
      'invalid_request',
      'file is missing: send it as a form, with curl -F purpose=batch -F file=@lines.jsonl.',
      {
        param: 'file',
      },
    );
  if (typeof purpose !== 'string')
    throw new CoreError('invalid_request', 'purpose is missing: it is batch.', { param: 'purpose' });
  const query = new URLSearchParams({ filename: file.filename ?? FILES.lines, purpose });
  return passOn(call, `/v1/files?${query}`, bytesOf(file));
}

async function addUploadPart(call: Call): Promise<Reply> {
  const fields = await readForm(call.request, '-F data=@FILE');
  const unknown = fields.find(({ name }) => name !== 'data');
  if (unknown)
    throw new CoreError('unknown_key', `A part has the field data, not ${shortened(unknown.name)}.`, {
      param: unknown.name,
    });
  const part = onlyField(fields, 'data');
  if (!part)
    throw new CoreError('invalid_request', 'data is missing: send it as a form, with curl -F data=@part.', {
      param: 'data',
    });
  return passOn(call, `/v1/uploads/${idOf(call)}/parts`, bytesOf(part));
}

/** Undefined where there is none. Of several, all but one would be lost without a word. */
function onlyField(fields: FormField[], field: string): FormField | undefined {
  const [first, ...others] = fields.filter(({ name }) => name === field);
  if (others.length === 0) return first;
  const message = `${field} is in the form ${others.length + 1} times, and one is taken: send each in a request of its own.`;
  throw new CoreError('invalid_request', message, { param: field });
}

/** A file that is sent without a name comes as text. */
function bytesOf({ value }: FormField): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(typeof value === 'string' ? new TextEncoder().encode(value) : value);
}

/** Whether a body on the path of uploads is OpenAI's and not our own. */
export function isUploadOfParts(body: unknown): boolean {
  return fieldOf(body, 'filename') !== undefined && fieldOf(body, 'digest') === undefined;
}

/** Begins OpenAI's upload of a file in parts, which needs a key that is good for jobs. */
export async function beginUpload(call: Call, body: unknown): Promise<Reply> {
  call.record.door = 'openai';
  refuseScope(call, 'jobs');
  return passOn(call, '/v1/uploads', JSON.stringify(body));
}

/** Throws where the caller may not `scope`: one path takes bodies of several scopes, so that the path alone does not decide. */
export function refuseScope({ record }: Call, scope: Scope): void {
  if (record.scopes?.includes(scope) ?? true) return;
  throw new CoreError('forbidden', `This needs an API key that is good for ${scope}.`);
}

const idOf = ({ params }: Call): string => encodeURIComponent(params.id ?? '');

export const BATCH_HANDLERS: Record<keyof (typeof BATCH_OPERATIONS & typeof UPLOAD_OPERATIONS), Handler> = {
  createFile,
  addUploadPart,
  completeUpload: async (call) =>
    passOn(call, `/v1/uploads/${idOf(call)}/complete`, JSON.stringify(await readJson(call.request))),
  cancelUpload: (call) => passOn(call, `/v1/uploads/${idOf(call)}/cancel`),
  listFiles: (call) => passOn(call, `/v1/files${queryOf(call)}`),
  retrieveFile: (call) => passOn(call, `/v1/files/${idOf(call)}`),
  retrieveFileContent: (call) => passOn(call, `/v1/files/${idOf(call)}/content`),
  deleteFile: (call) => passOn(call, `/v1/files/${idOf(call)}`),
  createBatch: async (call) => passOn(call, '/v1/batches', JSON.stringify(await readJson(call.request))),
  listBatches: (call) => passOn(call, `/v1/batches${queryOf(call)}`),
  retrieveBatch: (call) => passOn(call, `/v1/batches/${idOf(call)}`),
  cancelBatch: (call) => passOn(call, `/v1/batches/${idOf(call)}/cancel`),
};
