// A folder of this machine as an object store. Writers in several processes keep each other's conditions.
import { createReadStream, createWriteStream, type Dirent, type Stats } from 'node:fs';
import { link, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { codeOf } from '../../../contracts/src/user-error.ts';
import { type Listed, type ObjectBody, type ObjectStore, type StoredObject, storedObject } from '../store.ts';
import { digestOfStream } from './hash.ts';
import { waitForLock } from './process-lock.ts';
import { temporaryOf } from './processes.ts';

/** A name that nothing has, or can have: below a file, too long, or a link that leads nowhere. */
const NO_FILE = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);
/** A command of another machine holds the lock for less than this. */
const STALE_LOCK_MS = 10_000;
const LOCK_POLL_MS = 20;
/** Files that are asked for their size at a time. */
const AT_A_TIME = 64;

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
      const temporary = temporaryOf(file);
      try {
        await write(temporary, body);
        if (condition === undefined) await rename(temporary, file);
        else if (condition === 'absent') return await linkIfAbsent(temporary, file);
        else {
          return await locked(file, async (check) => {
            if ((await get(key))?.etag !== condition.etag) return false;
            check();
            await rename(temporary, file);
            return true;
          });
        }
        return true;
      } finally {
        await rm(temporary, { force: true });
      }
    },
    async list(prefix, { after = '', most = Infinity, unreadable } = {}) {
      const found: Listed[] = [];
      let some: Found[] = [];
      // A folder may hold millions of files: what is not asked for is not opened, and few are asked for their size at a time.
      const take = async (): Promise<void> => {
        const sizes = await Promise.all(
          some.map(({ key, isReadable }) => (isReadable ? sizeOf(join(folder, key)) : 0)),
        );
        for (const [at, { key }] of some.entries()) {
          const { [at]: size } = sizes;
          if (size !== undefined && found.length < most) found.push({ key, size });
        }
        some = [];
      };
      for await (const each of filesBelow(folder, prefix.slice(0, prefix.lastIndexOf('/') + 1), { prefix, after })) {
        if ((each.isReadable || unreadable) && !/\.(tmp|lock)$/.test(each.key)) some.push(each);
        if (some.length >= Math.min(AT_A_TIME, most - found.length)) await take();
        if (found.length >= most) break;
      }
      await take();
      return found;
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

/** One writer of a file at a time, between the processes of this machine. `check` throws where that is another one by now. */
async function locked<T>(file: string, work: (check: () => void) => Promise<T>): Promise<T> {
  const lock = await waitForLock(`${file}.lock`, {
    roles: { writer: process.pid },
    pollMs: LOCK_POLL_MS,
    staleMs: STALE_LOCK_MS,
  });
  try {
    return await work(() => lock.check());
  } finally {
    lock.release();
  }
}

interface Found {
  key: string;
  /** False: something has that name, and no file can be opened by it. */
  isReadable: boolean;
}

/** Which keys are wanted: those with a prefix, behind another key. */
interface Wanted {
  prefix: string;
  after: string;
}

/** Of the folder with that key, which ends with a slash or is empty, and of those in it: sorted by key. */
async function* filesBelow(root: string, within: string, wanted: Wanted): AsyncGenerator<Found> {
  const entries = (await entriesOf(join(root, within))).map((entry) => {
    // With its slash a folder's name is sorted as the keys in it are.
    return { entry, key: within + entry.name + (entry.isDirectory() ? '/' : '') };
  });
  for (const { entry, key } of entries.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    if (entry.isDirectory()) {
      if (mayHold(key, wanted)) yield* filesBelow(root, key, wanted);
    } else if (key.startsWith(wanted.prefix) && key > wanted.after) {
      const isLink = entry.isSymbolicLink();
      const file = join(root, key);
      // A link to a file is that file, as `get` has it; what lies below a linked folder is listed where it is.
      if (isLink) yield { key, isReadable: (await statOf(file))?.isFile() === true };
      else if (entry.isFile()) yield { key, isReadable: !key.includes(NO_UTF8) || (await sizeOf(file)) !== undefined };
    }
  }
}

/** All keys in a folder begin with the folder's. */
function mayHold(key: string, { prefix, after }: Wanted): boolean {
  const isWanted = key.startsWith(prefix) || prefix.startsWith(key);
  return isWanted && (key > after || after.startsWith(key));
}

/** None where there is no such folder, or no more. */
async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (NO_FILE.has(codeOf(error) ?? '')) return [];
    throw error;
  }
}

/** What Node writes for bytes of a name that are not UTF-8. A file may have it in its name, too. */
const NO_UTF8 = '\ufffd';

/** In bytes; undefined where there is nothing, or nothing any more. */
async function sizeOf(path: string): Promise<number | undefined> {
  return (await statOf(path))?.size;
}

async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (NO_FILE.has(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}
