// Uploads the user's data, and weights, for the training containers: under their digest, the index last.

import { join } from 'node:path';
import { encodeDocument, type ObjectStore } from '../../../api/registry/store.ts';
import { fileBody } from '../../../api/registry/stores/open.ts';
import { dataFileKey, dataPrefix, FILES, fileIn } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import type { DataIndex as DataIndexDocument } from '../../../contracts/src/training/data-index.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
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

/**
 * Uploads what is missing from the folder `root`. A stored file of the right size is the right file, since its folder is
 * named by the digest of all contents. After an interruption the next call uploads the rest.
 */
export async function uploadData(
  { digest, files }: Pick<DataIndex, 'digest' | 'files'>,
  root: string,
  { store, onProgress }: UploadOptions,
): Promise<void> {
  const outside = files.find(({ path }) => path.startsWith('../../'));
  if (outside !== undefined)
    throw new UserError(`${outside.path} is outside the data folder ${root}: only what is in it can be uploaded`);
  const prefix = dataPrefix(digest);
  const sizes = new Map((await store.list(`${prefix}/`)).map(({ key, size }) => [key, size]));
  const index = fileIn(prefix, FILES.dataIndex);
  if (sizes.has(index)) return;
  const of_bytes = files.reduce((sum, { size }) => sum + size, 0);
  const progress = { files: 0, of: files.length, bytes: 0, of_bytes };
  const waiting = [...files];
  const uploadNext = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const { path, size } = file;
      const key = dataFileKey(digest, path);
      if (sizes.get(key) !== size) await store.put(key, await fileBody(join(root, path)));
      progress.files += 1;
      progress.bytes += size;
      onProgress?.({ ...progress });
    }
  };
  await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, uploadNext));
  await store.put(index, encodeDocument({ schema_version: SCHEMA_VERSION, files } satisfies DataIndexDocument));
}
