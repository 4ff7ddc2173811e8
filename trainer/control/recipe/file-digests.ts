// Digests of files, remembered between commands: a file of the size and time it had before is not read again.

import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  createReadStream,
  type Dirent,
  readdirSync,
  readFileSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { z } from 'zod';
import { toDigest } from '../../../api/registry/digest.ts';
import { replaceFile } from '../../../contracts/command/replace-file.ts';
import { hexOf } from '../../../contracts/src/keys.ts';

/** Size and modification time vouch for a digest that was computed before: path -> [bytes, milliseconds, digest]. */
const Cache = z.record(z.string(), z.tuple([z.number(), z.number(), z.string()]));
type Cache = z.infer<typeof Cache>;

/** A command that is stopped while it reads terabytes loses what it has read since then. */
const KEEP_EVERY_MS = 60_000;

export interface DigestOptions {
  /** File that remembers digests between commands. */
  cache: string;
  /** Called once, before reading, with the bytes that have to be read. */
  onRead?: (bytes: number) => void;
}

/** A file of a folder; `path` is relative to the folder, with slashes. */
export interface IndexedFile {
  path: string;
  size: number;
  digest: string;
}

/** Size and digest of every file, by its path. */
export async function digestsOf(
  files: readonly string[],
  { cache: cacheFile, onRead }: DigestOptions,
): Promise<Map<string, { size: number; digest: string }>> {
  const cache = readCache(cacheFile);
  const fresh: Cache = {};
  const pending: { file: string; size: number; mtime: number }[] = [];
  for (const file of files) {
    const { size, mtimeMs } = statSync(file);
    const known = cache[file];
    if (known !== undefined && known[0] === size && known[1] === mtimeMs) fresh[file] = known;
    else pending.push({ file, size, mtime: mtimeMs });
  }
  if (pending.length > 0) {
    onRead?.(pending.reduce((bytes, { size }) => bytes + size, 0));
    let kept = performance.now();
    try {
      for (const { file, size, mtime } of pending) {
        fresh[file] = [size, mtime, await sha256Of(file)];
        if (performance.now() - kept < KEEP_EVERY_MS) continue;
        writeCache(cacheFile, { ...cache, ...fresh });
        kept = performance.now();
      }
    } finally {
      // One file that cannot be read does not cost the hour that went into the others.
      writeCache(cacheFile, { ...cache, ...fresh });
    }
  }
  return new Map(Object.entries(fresh).map(([file, [size, , hex]]) => [file, { size, digest: `sha256:${hex}` }]));
}

/** One digest over files in the order given: their paths, sizes and contents. */
export function digestOfFiles(files: readonly IndexedFile[]): string {
  const hash = createHash('sha256');
  for (const { path, size, digest } of files) hash.update(`${path}\0${size}\0${hexOf(digest)}\n`);
  return toDigest(hash.digest());
}

/** A folder, or a file, with what is in it. */
export interface FolderIndex {
  digest: string;
  /** Name of the file where it is one. */
  file: string | null;
  /** The folder that the paths of `files` start from. */
  root: string;
  files: IndexedFile[];
}

/** All files of a folder under one digest, or one file. */
export async function indexOfFolder(folder: string, options: DigestOptions): Promise<FolderIndex> {
  const isFile = statSync(folder).isFile();
  const root = isFile ? dirname(folder) : folder;
  const wanted = (isFile ? [folder] : filesBelow(folder)).sort();
  const digests = await digestsOf(wanted, options);
  const files = wanted.map((file) => ({
    ...(digests.get(file) ?? { size: 0, digest: '' }),
    path: relative(root, file).split(sep).join('/'),
  }));
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { digest: digestOfFiles(files), file: isFile ? basename(folder) : null, root, files };
}

/** Every file in a folder and the folders in it. Links are followed; one that leads back to where it lies is not. `counts`: what does, by name. */
export function filesBelow(folder: string, counts: (name: string) => boolean = () => true): string[] {
  return filesOn(folder, [realpathSync(folder)], { counts, entriesOf });
}

/** The same where nobody said that they are needed: without what may not be read, and what has vanished meanwhile. */
export function readableFilesBelow(folder: string, counts: (name: string) => boolean): string[] {
  const real = realPath(folder);
  return real === undefined ? [] : filesOn(folder, [real], { counts, entriesOf: entriesIfAny }).filter(isReadable);
}

/** Whether this user may read a file; not so for one that is gone. */
export function isReadable(file: string): boolean {
  try {
    accessSync(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

/** Readers of data skip hidden files and folders (trainer/towers/formats/places.py): .DS_Store and .git are not data. */
export const isShown = (name: string): boolean => !name.startsWith('.');

interface Walk {
  /** What does, by name. */
  counts: (name: string) => boolean;
  entriesOf: (folder: string) => Dirent[];
}

const entriesOf = (folder: string): Dirent[] => readdirSync(folder, { withFileTypes: true });

function entriesIfAny(folder: string): Dirent[] {
  try {
    return entriesOf(folder);
  } catch {
    return [];
  }
}

/** `way`: the folders that led here, as they are called without links. */
function filesOn(folder: string, way: readonly string[], walk: Walk): string[] {
  return walk.entriesOf(folder).flatMap((entry) => {
    if (!walk.counts(entry.name)) return [];
    const path = join(folder, entry.name);
    const real = entry.isSymbolicLink() ? realPath(path) : join(way.at(-1) ?? folder, entry.name);
    if (real === undefined) return [];
    const kind = entry.isSymbolicLink() ? statSync(real, { throwIfNoEntry: false }) : entry;
    if (kind?.isDirectory()) return way.includes(real) ? [] : filesOn(path, [...way, real], walk);
    return kind?.isFile() ? [path] : [];
  });
}

/** Undefined for a link to nothing, or to itself. */
function realPath(link: string): string | undefined {
  try {
    return realpathSync(link);
  } catch {
    return undefined;
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(part);
  return hash.digest('hex');
}

function readCache(file: string): Cache {
  try {
    const result = Cache.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    return result.success ? result.data : {};
  } catch {
    return {};
  }
}

const writeCache = (file: string, cache: Cache): void => replaceFile(file, JSON.stringify(cache));
