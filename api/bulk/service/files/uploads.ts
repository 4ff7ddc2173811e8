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

/** As it was read, with the etag by which it is written. */
interface Found {
  upload: BulkUpload;
  etag: string;
}

const ID = /^upload_[0-9a-z]{16,64}$/;
const PART = /^part_[0-9a-z]{16,64}$/;

export function createUploads(
  { store, onProblem }: Pick<ServiceOptions, 'store' | 'onProblem'>,
  files: FileService,
): UploadService {
  const keyOf = (id: string): string => fileIn(jobInputFolder(id), FILES.upload);
  const fileOf = async ({ id, owner }: BulkUpload): Promise<BulkFile | undefined> =>
    files.find(`file_${serialOf(id)}`, owner).catch((error: unknown) => {
      if (error instanceof CoreError && error.code === 'not_found') return undefined;
      throw error;
    });
  /** Also where whoever completed the upload did not come as far. */
  const makeFile = ({ id, filename, bytes, owner }: BulkUpload, parts: string[]): Promise<BulkFile> =>
    files.make({ id: `file_${serialOf(id)}`, filename, bytes, owner, parts, upload: id });

  async function find(id: string, owner: Owner): Promise<Found> {
    // A folder is of ids only.
    const folder = ID.test(id) ? openJobFolder(store, jobInputFolder(id)) : undefined;
    const found = await folder?.readTagged(FILES.upload, BulkUpload).catch(asNone(onProblem));
    if (found?.value.owner === owner) return { upload: found.value, etag: found.etag };
    throw new CoreError('not_found', `There is no upload ${quoted(id)}.`, { param: 'id' });
  }

  /** One that is not cancelled. */
  async function findOpen(id: string, owner: Owner): Promise<Found> {
    const found = await find(id, owner);
    if (!found.upload.cancelled) return found;
    throw isOver(id, 'cancelled');
  }

  /** Completed or cancelled, once: false where it is no longer as it was found. */
  const end = ({ upload, etag }: Found, how: Pick<BulkUpload, 'parts'> & { cancelled: boolean }): Promise<boolean> =>
    store.put(keyOf(upload.id), encodeDocument({ ...upload, ...how }), { etag });

  async function sizesOf(id: string): Promise<Map<string, number>> {
    return new Map([...(await sizesOfParts(store, id))].filter(([name]) => PART.test(name)));
  }

  const uploads: UploadService = {
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
      await store.put(keyOf(upload.id), encodeDocument(upload));
      return reportOf(upload, undefined);
    },
    async add(id, bytes, owner) {
      const { upload } = await findOpen(id, owner);
      if (upload.parts || (await fileOf(upload))) throw isOver(id, 'completed');
      if (bytes.length === 0) throw new CoreError('empty_input', 'The part is empty.', { param: 'data' });
      const part = newId('part');
      await store.put(uploadPartKey(id, part), bytes);
      return { id: part, object: 'upload.part', created_at: toSeconds(new Date().toISOString()), upload_id: upload.id };
    },
    async complete(id, body, owner) {
      const { part_ids: parts } = parseRequest(OpenAiUploadComplete, body);
      const found = await findOpen(id, owner);
      const { upload } = found;
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
      // Before there is a file: from here on the parts are not emptied. Refused: it has ended meanwhile, in one way or the other.
      if (!upload.parts && !(await end(found, { cancelled: false, parts }))) return uploads.complete(id, body, owner);
      const file = await makeFile(upload, upload.parts ?? parts);
      if (file.parts?.join() !== parts.join()) {
        throw new CoreError('invalid_request', 'The upload was completed with other parts.', { param: 'part_ids' });
      }
      return reportOf(upload, file);
    },
    async cancel(id, owner) {
      const found = await find(id, owner);
      const { upload } = found;
      const file = upload.parts ? await makeFile(upload, upload.parts) : await fileOf(upload);
      if (file) return reportOf(upload, file);
      if (!upload.cancelled && !(await end(found, { cancelled: true }))) return uploads.cancel(id, owner);
      for (const part of (await sizesOf(id)).keys()) await store.put(uploadPartKey(id, part), new Uint8Array());
      return reportOf({ ...upload, cancelled: true }, undefined);
    },
  };
  return uploads;
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
    // One that was deleted since is none.
    file: file && !file.deleted ? written(file) : null,
  };
}
