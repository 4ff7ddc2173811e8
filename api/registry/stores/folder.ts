// A folder of this machine as an object store. Writers in several processes keep each other's conditions.
import { randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream, type Stats } from 'node:fs';
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { codeOf } from '../../../contracts/src/user-error.ts';
import { type ObjectBody, type ObjectStore, type StoredObject, storedObject } from '../store.ts';
import { digestOfStream } from './hash.ts';
import { waitForLock } from './process-lock.ts';

/** A name that nothing has, or can have: below a file, too long, or a link that leads nowhere. */
const NO_FILE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);
/** A command of another machine holds the lock for less than this. */
const STALE_LOCK_MS = 10_000;
const LOCK_POLL_MS = 20;

/** `uri`: how messages name the folder. It need not exist before something is written. */
export function openFolderStore(folder: string, uri: string): ObjectStore {
  const get = async (key: string): Promise<StoredObject | undefined> => {
    const file = join(folder, key);
    const found = await statOf(file);
    if (!found?.isFile()) return undefined;
    const stream = () => createReadStream(file);
    return storedObject({
      size: found.size,
      // Every write is a new file under the name. Read before the content: at worst a condition fails that might have held.
      etag: `${found.ino}-${found.mtimeMs}-${found.size}`,
      path: file,
      stream,
      bytes: async () => new Uint8Array(await readFile(file)),
      digest: () => digestOfStream(stream()),
    });
  };
  return {
    uri,
    get,
    async read(key, { from, to }) {
      const file = join(folder, key);
      const found = await statOf(file);
      return found?.isFile() ? createReadStream(file, { start: from, end: to - 1 }) : undefined;
    },
    async put(key, body, condition) {
      const file = join(folder, key);
      const temporary = `${file}.${randomUUID()}.tmp`;
      try {
        await write(temporary, body);
        if (condition === undefined) await rename(temporary, file);
        else if (condition === 'absent') return await linkIfAbsent(temporary, file);
        else {
          return await locked(file, async () => {
            if ((await get(key))?.etag !== condition.etag) return false;
            await rename(temporary, file);
            return true;
          });
        }
        return true;
      } finally {
        await rm(temporary, { force: true });
      }
    },
    async list(prefix, { after = '', most, unreadable } = {}) {
      const below = join(folder, prefix);
      // A prefix need not end at a folder's name, but every key begins in the folder that it names last.
      const start = prefix === '' || prefix.endsWith('/') ? below : dirname(below);
      const files = (await filesBelow(start, unreadable))
        .map(({ file, isReadable }) => ({ file, isReadable, key: relative(folder, file).split(sep).join('/') }))
        .filter(({ key }) => key.startsWith(prefix) && key > after && !/\.(tmp|lock)$/.test(key))
        .sort((a, b) => (a.key < b.key ? -1 : 1))
        .slice(0, most);
      const objects = await Promise.all(
        files.map(async ({ file, isReadable, key }) => ({ key, size: isReadable ? (await statOf(file))?.size : 0 })),
      );
      return objects.flatMap(({ key, size }) => (size === undefined ? [] : [{ key, size }]));
    },
  };
}

async function write(file: string, body: Uint8Array | ObjectBody): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  if (body instanceof Uint8Array) await writeFile(file, body);
  else await pipeline(Readable.from(body.stream()), createWriteStream(file));
}

async function linkIfAbsent(temporary: string, file: string): Promise<boolean> {
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** One writer of a file at a time, between the processes of this machine. */
async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const lock = await waitForLock(`${file}.lock`, {
    roles: { writer: process.pid },
    pollMs: LOCK_POLL_MS,
    staleMs: STALE_LOCK_MS,
  });
  try {
    return await work();
  } finally {
    lock.release();
  }
}

interface Found {
  file: string;
  /** False: something has that name, and no file can be opened by it. */
  isReadable: boolean;
}

async function filesBelow(folder: string, unreadable?: true): Promise<Found[]> {
  if (!(await statOf(folder))?.isDirectory()) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files: Found[] = [];
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    const isLink = entry.isSymbolicLink();
    // A link to a file is that file, as `get` has it; what lies below a linked folder is listed where it is.
    const isReadable = isLink
      ? (await statOf(file))?.isFile() === true
      : !file.includes(NO_UTF8) || (await isThere(file));
    if ((isLink || entry.isFile()) && (isReadable || unreadable)) files.push({ file, isReadable });
  }
  return files;
}

/** What Node writes for bytes of a name that are not UTF-8. A file may have it in its name, too. */
const NO_UTF8 = '\ufffd';

async function isThere(path: string): Promise<boolean> {
  return (await statOf(path)) !== undefined;
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (NO_FILE.has(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
