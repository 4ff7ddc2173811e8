// A place for objects by key, under one URI: a folder of this machine or a bucket. Writers of models and runs use no other door.
import { createHash, randomUUID } from 'node:crypto';
import {
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { UserError } from '../../contracts/src/user-error.ts';
import { fromFileUri } from './stores/file-uri.ts';
import { openS3Store, type S3Options } from './stores/s3.ts';

export interface StoredObject {
  body: Buffer;
  /** Changes whenever the object does; means nothing else. */
  etag: string;
}

export interface ObjectStore {
  /** `file://` or `s3://`, without a slash at the end: what a key is relative to. */
  readonly uri: string;
  get(key: string): Promise<StoredObject | null>;
  /**
   * Writes in one step: a reader sees the old object or the new one. With `only` the write happens where the object is
   * still that one (an etag) or still absent (`'absent'`), and the answer is whether it happened.
   */
  put(key: string, body: Uint8Array, only?: { etag: string } | 'absent'): Promise<boolean>;
  /** Copies a file of this machine. */
  putFile(key: string, file: string): Promise<void>;
  /** Every object below a prefix, sorted by key. */
  list(prefix: string): Promise<{ key: string; size: number }[]>;
}

/** A document as every object of ours holds it. */
export function encodeDocument(document: object): Buffer {
  return Buffer.from(`${JSON.stringify(document, null, 2)}\n`);
}

/** Opens what a URI names. Throws a UserError for a scheme that is neither `file` nor `s3`. */
export function openStore(uri: string, s3: S3Options = {}): ObjectStore {
  if (uri.startsWith('s3://')) return openS3Store(uri, s3);
  const folder = fromFileUri(uri);
  if (folder === null) throw new UserError(`${uri} is neither a file:// nor an s3:// URI`);
  return openFolderStore(folder, uri.replace(/\/$/, ''));
}

/** A command that died while it held the lock held it for less than this. */
const STALE_LOCK_MS = 10_000;

function openFolderStore(folder: string, uri: string): ObjectStore {
  const fileOf = (key: string): string => join(folder, key);
  const get = async (key: string): Promise<StoredObject | null> => {
    try {
      const body = readFileSync(fileOf(key));
      return { body, etag: createHash('sha256').update(body).digest('hex') };
    } catch (error) {
      if (isCode(error, 'ENOENT')) return null;
      throw error;
    }
  };
  return {
    uri,
    get,
    async put(key, body, only) {
      const file = fileOf(key);
      mkdirSync(dirname(file), { recursive: true });
      const temporary = `${file}.${randomUUID()}.tmp`;
      writeFileSync(temporary, body);
      try {
        if (only === undefined) renameSync(temporary, file);
        else if (only === 'absent') return linkIfAbsent(temporary, file);
        else {
          return await locked(file, async () => {
            if ((await get(key))?.etag !== only.etag) return false;
            renameSync(temporary, file);
            return true;
          });
        }
        return true;
      } finally {
        rmSync(temporary, { force: true });
      }
    },
    async putFile(key, source) {
      const file = fileOf(key);
      mkdirSync(dirname(file), { recursive: true });
      const temporary = `${file}.${randomUUID()}.tmp`;
      copyFileSync(source, temporary);
      renameSync(temporary, file);
    },
    async list(prefix) {
      const below = join(folder, prefix);
      // A prefix need not end at a folder's name, but every key begins in the folder that it names last.
      const start = prefix === '' || prefix.endsWith('/') ? below : dirname(below);
      return filesBelow(start)
        .map((file) => ({ key: relative(folder, file).split(sep).join('/'), size: statSync(file).size }))
        .filter(({ key }) => key.startsWith(prefix) && !key.endsWith('.tmp'))
        .sort((a, b) => (a.key < b.key ? -1 : 1));
    },
  };
}

function linkIfAbsent(temporary: string, file: string): boolean {
  try {
    linkSync(temporary, file);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  }
}

/** One writer of a file at a time, between processes: a folder can be made once only. */
async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`;
  for (;;) {
    try {
      mkdirSync(lock);
      break;
    } catch (error) {
      if (!isCode(error, 'EEXIST')) throw error;
      const age = Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age > STALE_LOCK_MS) rmSync(lock, { recursive: true, force: true });
      else await new Promise((wake) => setTimeout(wake, 20));
    }
  }
  try {
    return await work();
  } finally {
    rmSync(lock, { recursive: true, force: true });
  }
}

function filesBelow(folder: string): string[] {
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
