// Uploads the user's data, and weights, for the training containers: each file under its digest, the index last.

import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { RegistryError } from '../../../api/registry/errors.ts';
import { encodeDocument, type ObjectBody, type ObjectStore } from '../../../api/registry/store.ts';
import { verifying } from '../../../api/registry/stores/hash.ts';
import type { DataIndex as DataIndexDocument } from '../../../contracts/src/data/data-index.ts';
import { DATA_FILES, dataFileKey, dataFilePrefix, dataPrefix, FILES, fileIn } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { codeOf, UserError } from '../../../contracts/src/user-error.ts';
import type { DataIndex } from '../recipe/data-index.ts';

export interface UploadProgress {
  files: number;
  of: number;
  bytes: number;
  of_bytes: number;
}

/** Folders of photos are thousands of small files, each a request of its own. */
const PARALLEL_UPLOADS = 8;

export interface UploadOptions {
  store: ObjectStore;
  onProgress?: (progress: UploadProgress) => void;
}

/** What a call sent; the rest was stored before. */
export interface Uploaded {
  files: number;
  bytes: number;
}

/**
 * Uploads what is missing from the folder `root`. A stored file of the right size is the right file, since it is named by
 * its digest: what an earlier version of the data held, or other data, is not sent again. After an interruption the next
 * call uploads the rest.
 */
export async function uploadData(
  { digest, files }: Pick<DataIndex, 'digest' | 'files'>,
  root: string,
  { store, onProgress }: UploadOptions,
): Promise<Uploaded> {
  const outside = files.find(({ path }) => path.startsWith('../'));
  if (outside !== undefined)
    throw new UserError(`${outside.path} is outside the data folder ${root}: only what is in it can be uploaded`);
  const index = fileIn(dataPrefix(digest), FILES.dataIndex);
  const sent = { files: 0, bytes: 0 };
  if ((await store.list(index)).length > 0) return sent;
  const stored = new Map((await store.list(dataFilePrefix)).map(({ key, size }) => [key, size]));
  const of_bytes = files.reduce((sum, { size }) => sum + size, 0);
  const progress = { files: 0, of: files.length, bytes: 0, of_bytes };
  const waiting = [...files];
  const uploadNext = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { size } = file;
      const key = dataFileKey(file.digest);
      if (stored.get(key) !== size) {
        // Two files of the same content are one object.
        stored.set(key, size);
        await store.put(key, asIndexed(file, root));
        sent.files += 1;
        sent.bytes += size;
      }
      progress.files += 1;
      progress.bytes += size;
      onProgress?.({ ...progress });
    }
  };
  const stopped = (error: unknown): never => {
    // What is left would be sent for nothing.
    waiting.length = 0;
    throw error;
  };
  await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, () => uploadNext().catch(stopped)));
  const document: DataIndexDocument = { schema_version: SCHEMA_VERSION, files, files_at: DATA_FILES };
  await store.put(index, encodeDocument(document));
  return sent;
}

/** A file as it was when its digest was taken. Its stream ends with a UserError where it has changed since, so that a store keeps nothing of it. */
function asIndexed(file: DataIndex['files'][number], root: string): ObjectBody {
  async function* stream(): AsyncGenerator<Uint8Array> {
    try {
      // The byte behind the last one shows that it has grown.
      yield* verifying(createReadStream(join(root, file.path), { end: file.size }), file);
    } catch (error) {
      if (!(error instanceof RegistryError) && codeOf(error) !== 'ENOENT') throw error;
      throw new UserError(`${file.path} was changed while it was uploaded: run the same command again`);
    }
  }
  return { size: file.size, stream };
}
