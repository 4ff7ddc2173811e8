// The places that a bulk job may read: the folder of its input, and the sources that were named for it. Nothing else.
import type { BulkJob } from '../../contracts/src/bulk/job.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { CoreError } from '../core/errors.ts';
import type { ObjectStore, StoredObject } from '../registry/store.ts';
import { openStore } from '../registry/stores/open.ts';
import { openS3Store, type S3Options } from '../registry/stores/s3.ts';
import { placesOf, withSlash } from './service/inputs.ts';

export interface PlaceOptions {
  /** Of R2 and its keys: `https://ACCOUNT.r2.cloudflarestorage.com`; absent: `r2://` is refused. */
  r2?: S3Options | undefined;
}

/** A folder, a bucket or a prefix of one, by `file://`, `s3://` or `r2://`. */
export function openPlace(uri: string, { r2 }: PlaceOptions = {}): ObjectStore {
  if (!uri.startsWith('r2://')) return openStore(uri);
  if (r2?.endpoint === undefined) {
    throw new UserError(
      `${uri} is in R2: set R2_ENDPOINT=https://ACCOUNT.r2.cloudflarestorage.com and the keys of an R2 token`,
    );
  }
  return { ...openS3Store(uri.replace('r2://', 's3://'), r2), uri };
}

export interface Sources {
  /** What a line names by `path` or `uri`. Throws a CoreError where it may not be read or is not there. */
  find(name: string): Promise<StoredObject>;
}

/** Opens only what a job may read: it must not be a way to files that its owner could not read. */
export function openSources({ input, sources }: Pick<BulkJob, 'input' | 'sources'>, options?: PlaceOptions): Sources {
  const places = placesOf(input);
  const base = 'tars' in input ? undefined : places[0];
  const allowed = [...places, ...sources];
  const stores = new Map<string, ObjectStore>();
  const storeOf = (place: string): ObjectStore => {
    const store = stores.get(place) ?? openPlace(place, options);
    stores.set(place, store);
    return store;
  };

  function locate(name: string): { place: string; key: string } {
    const isUri = /^\w+:\/\//.test(name);
    const place = isUri ? allowed.find((each) => name.startsWith(withSlash(each))) : base;
    const key = isUri && place !== undefined ? name.slice(withSlash(place).length) : name;
    if (place === undefined || key.startsWith('/') || key.split('/').includes('..')) {
      const message = `${name} is outside of what this job may read: ${allowed.join(', ') || 'nothing'}.`;
      throw new CoreError('invalid_request', message);
    }
    return { place, key };
  }

  return {
    async find(name) {
      const { place, key } = locate(name);
      // A name that no file system takes is a name of no file.
      const found = /\0/.test(key) || Buffer.byteLength(key) > 1024 ? undefined : await storeOf(place).get(key);
      if (!found) throw new CoreError('not_found', `There is no ${key} below ${place}${whyNot(key, place)}.`);
      return found;
    },
  };
}

/** Of a name that a folder may show all the same. */
function whyNot(key: string, place: string): string {
  if (!place.startsWith('file://')) return '';
  return key.includes('\ufffd')
    ? ', or its name is not UTF-8: rename the file'
    : ', or it is a folder or a link that leads nowhere';
}
