// Opens what a URI names: a folder of this machine or a bucket.
import { ENVARS } from '../../../contracts/src/envars.ts';
import { RegistryError } from '../errors.ts';
import type { ObjectStore } from '../store.ts';
import { fromFileUri, toFileUri } from './file-uri.ts';
import { openFolderStore } from './folder.ts';
import { openS3Store, type S3Options } from './s3.ts';

/** Nothing is read yet. Throws a RegistryError for a scheme that is neither `file` nor `s3`. */
export function openStore(uri: string, s3: S3Options = {}): ObjectStore {
  if (uri.startsWith('s3://')) return openS3Store(uri, s3);
  const folder = fromFileUri(uri);
  if (folder === undefined)
    throw new RegistryError(`${uri} is neither a file:// nor an s3:// URI: write file:///FOLDER or s3://BUCKET`);
  return openFolderStore(folder, toFileUri(folder).replace(/\/$/, ''));
}

/** A model registry by its URI; where its bucket is and which keys open it, the variables say. */
export function openRegistry(uri: string, env: NodeJS.ProcessEnv): ObjectStore {
  const endpoint = env[ENVARS.registryEndpoint] || undefined;
  const secret = env[ENVARS.registrySecret] || undefined;
  return openStore(uri, { endpoint, secret });
}
