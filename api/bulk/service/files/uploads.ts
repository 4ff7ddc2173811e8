// Files of lines that are sent in parts, each as large as a body may be, and put together without being copied.
import {
  type OpenAiUpload,
  OpenAiUploadComplete,
  type OpenAiUploadPart,
  OpenAiUploadRequest,
} from '../../../../contracts/src/api/doors/uploads.ts';
import { type BulkFile, BulkUpload } from '../../../../contracts/src/bulk/file.ts';
import { FILES, fileIn, jobInputFolder, uploadPartKey } from '../../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../../contracts/src/schema-version.ts';
import { CoreError, quoted } from '../../../core/errors.ts';
import { parseRequest } from '../../../core/validation.ts';
import { encodeDocument } from '../../../registry/store.ts';
import { newId, serialOf } from '../ask.ts';
import { asNone, openJobFolder } from '../folder.ts';
import type { Owner, ServiceOptions } from '../states.ts';
import { removalOf, toSeconds } from '../status.ts';
import { type FileService, sizesOfParts, written } from './files.ts';

export interface UploadService {
  begin(body: unknown, owner: Owner): Promise<OpenAiUpload>;
  add(id: string, bytes: Uint8Array, owner: Owner): Promise<OpenAiUploadPart>;
  /** The same parts once more answer the same file. */
  complete(id: string, body: unknown, owner: Owner): Promise<OpenAiUpload>;
  cancel(id: string, owner: Owner): Promise<OpenAiUpload>;
}

const ID = /^upload_[0-9a-z]{16,64}$/;
const PART = /^part_[0-9a-z]{16,64}$/;

export function createUploads(
  { store, onProblem }: Pick<ServiceOptions, 'store' | 'onProblem'>,
  files: FileService,
): UploadService {
  const keyOf = (id: string): string => fileIn(jobInputFolder(id), FILES.upload);
  const write = (upload: BulkUpload) => store.put(keyOf(upload.id), encodeDocument(upload));
  const fileOf = async ({ id, owner }: BulkUpload): Promise<BulkFile | undefined> =>
    files.find(`file_${serialOf(id)}`, owner).catch((error: unknown) => {
      if (error instanceof CoreError && error.code === 'not_found') return undefined;
      throw error;
    });

  async function find(id: string, owner: Owner): Promise<BulkUpload> {
    // A folder is of ids only.
    const folder = ID.test(id) ? openJobFolder(store, jobInputFolder(id)) : undefined;
    const upload = await folder?.read(FILES.upload, BulkUpload).catch(asNone(onProblem));
    if (upload?.owner === owner) return upload;
    throw new CoreError('not_found', `There is no upload ${quoted(id)}.`, { param: 'id' });
  }

  /** One that takes parts. */
  async function findOpen(id: string, owner: Owner): Promise<BulkUpload> {
    const upload = await find(id, owner);
    if (!upload.cancelled) return upload;
    throw isOver(id, 'cancelled');
  }

  async function sizesOf(id: string): Promise<Map<string, number>> {
    return new Map([...(await sizesOfParts(store, id))].filter(([name]) => PART.test(name)));
  }

  return {
    async begin(body, owner) {
      const { filename, bytes } = parseRequest(OpenAiUploadRequest, body);
      const upload: BulkUpload = {
        schema_version: SCHEMA_VERSION,
        id: newId('upload'),
        filename,
        purpose: 'batch',
        bytes,
        owner,
        created_at: new Date().toISOString(),
        cancelled: false,
      };
      await write(upload);
      return reportOf(upload, undefined);
    },
    async add(id, bytes, owner) {
      const upload = await findOpen(id, owner);
      if (await fileOf(upload)) throw isOver(id, 'completed');
      if (bytes.length === 0) throw new CoreError('empty_input', 'The part is empty.', { param: 'data' });
      const part = newId('part');
      await store.put(uploadPartKey(id, part), bytes);
      return { id: part, object: 'upload.part', created_at: toSeconds(new Date().toISOString()), upload_id: upload.id };
    },
    async complete(id, body, owner) {
      const { part_ids: parts } = parseRequest(OpenAiUploadComplete, body);
      const upload = await findOpen(id, owner);
      const sizes = await sizesOf(id);
      const missing = parts.find((part, at) => !sizes.has(part) || parts.indexOf(part) !== at);
      if (missing !== undefined) {
        const message = `The upload has no part ${quoted(missing)}, or it is named twice.`;
        throw new CoreError('invalid_request', message, { param: 'part_ids' });
      }
      const sum = parts.reduce((bytes, part) => bytes + (sizes.get(part) ?? 0), 0);
      if (sum !== upload.bytes) {
        const message = `The parts have ${sum} bytes together; the upload was begun for ${upload.bytes}.`;
        throw new CoreError('invalid_request', message, { param: 'part_ids' });
      }
      const { filename, bytes } = upload;
      const file = await files.make({ id: `file_${serialOf(id)}`, filename, bytes, owner, parts, upload: id });
      if (file.parts?.join() !== parts.join()) {
        throw new CoreError('invalid_request', 'The upload was completed with other parts.', { param: 'part_ids' });
      }
      return reportOf(upload, file);
    },
    async cancel(id, owner) {
      const upload = await find(id, owner);
      const file = await fileOf(upload);
      if (file) return reportOf(upload, file);
      const cancelled = { ...upload, cancelled: true };
      await write(cancelled);
      for (const part of (await sizesOf(id)).keys()) await store.put(uploadPartKey(id, part), new Uint8Array());
      return reportOf(cancelled, undefined);
    },
  };
}

function isOver(id: string, how: string): CoreError {
  return new CoreError('invalid_request', `The upload ${id} was ${how}: begin another one.`, { param: 'id' });
}

function reportOf(upload: BulkUpload, file: BulkFile | undefined): OpenAiUpload {
  const open = upload.cancelled ? 'cancelled' : 'pending';
  return {
    id: upload.id,
    object: 'upload',
    bytes: upload.bytes,
    created_at: toSeconds(upload.created_at),
    expires_at: removalOf(upload.created_at),
    filename: upload.filename,
    purpose: 'batch',
    status: file ? 'completed' : open,
    file: file ? written(file) : null,
  };
}
