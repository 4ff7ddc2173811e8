// Indexes the user's data under one digest: the files that a recipe's `prepare` and `adapt` name, by relative path, size and SHA-256.

import { createHash } from 'node:crypto';
import {
  createReadStream,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { toDigest } from '../../../api/registry/digest.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { FILES, hexOf } from '../../../contracts/src/keys.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

type Prepare = NonNullable<Recipe['prepare']>;

/** Size and modification time vouch for a digest that was computed before: path -> [bytes, milliseconds, digest]. */
const Cache = z.record(z.string(), z.tuple([z.number(), z.number(), z.string()]));
type Cache = z.infer<typeof Cache>;

export interface DataDigestOptions {
  /** File that remembers digests between commands. */
  cache: string;
  /** Called once, before reading, with the bytes that have to be read. */
  onRead?: (bytes: number) => void;
}

/** The data as one digest, and the files behind it; `path` is relative to the data folder, with slashes. */
export interface DataIndex {
  digest: string;
  files: { path: string; size: number; digest: string }[];
}

/** Other files in the data folder may change freely; a change of those that the recipe reads gives a new content address. */
export async function indexData(
  recipe: Recipe,
  root: string,
  { cache: cacheFile, onRead }: DataDigestOptions,
): Promise<DataIndex> {
  const files = dataFiles(recipe, root);
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
    for (const { file, size, mtime } of pending) fresh[file] = [size, mtime, await sha256Of(file)];
    writeCache(cacheFile, { ...cache, ...fresh });
  }
  const hash = createHash('sha256');
  const indexed = files.map((file) => {
    const [size = 0, , digest = ''] = fresh[file] ?? [];
    return { path: relative(root, file).split(sep).join('/'), size, digest: `sha256:${digest}` };
  });
  for (const { path, size, digest } of indexed) hash.update(`${path}\0${size}\0${hexOf(digest)}\n`);
  return { digest: toDigest(hash.digest()), files: indexed };
}

/** Every file that a stage may open, sorted; a path that names nothing is refused at once and not after an hour. */
export function dataFiles({ prepare, adapt }: Recipe, root: string): string[] {
  const files = [
    ...(prepare === undefined ? [] : filesOfPrepare(prepare, root)),
    ...(adapt === undefined ? [] : filesOfAdapt(adapt, root)),
  ];
  return [...new Set(files)].sort();
}

function filesOfPrepare(prepare: Prepare, root: string): string[] {
  const files: string[] = [];
  const add = (path: string, where: string): void => {
    if (!existsSync(resolve(root, path))) throw notFound(where, path, root);
    files.push(resolve(root, path));
  };
  prepare.pairs.forEach(({ format, path, translated_captions }, index) => {
    const found = globSync(path, { cwd: root }).map((name) => resolve(root, name));
    if (found.length === 0) throw notFound(`prepare.pairs[${index}].path`, path, root);
    files.push(...found.flatMap((match) => FILES_OF[format](match)));
    for (const [language, file] of Object.entries(translated_captions ?? {})) {
      add(file, `prepare.pairs[${index}].translated_captions.${language}`);
    }
  });
  prepare.texts.forEach(({ path }, index) => {
    add(path, `prepare.texts[${index}].path`);
  });
  for (const key of ['classes', 'class_images'] as const) {
    const path = prepare[key];
    if (path === null) continue;
    add(path, `prepare.${key}`);
    const rows = resolve(root, path).replace(/\.tar$/, '.jsonl');
    if (existsSync(rows)) files.push(rows);
  }
  return files;
}

/** The manifest stands for the model's other files: it names their digests. */
function filesOfAdapt({ model, own }: NonNullable<Recipe['adapt']>, root: string): string[] {
  const files: string[] = [];
  for (const key of ['path', 'dev_path', 'classes', 'further_captions'] as const) {
    const path = own[key];
    if (path === null) continue;
    const file = resolve(root, path);
    if (!existsSync(file)) throw notFound(`adapt.own.${key}`, path, root);
    if (statSync(file).isDirectory()) files.push(...filesBelow(file));
    else if (key === 'classes' || key === 'further_captions') files.push(file);
    // The images of a table are stored beside or below it; a tar may have its table beside it.
    else if (/\.(tar|tar\.gz|tgz)$/i.test(file)) files.push(file, ...globSync(`${sharedName(file)}*.jsonl`));
    else files.push(...filesBelow(dirname(file)));
  }
  const manifest = resolve(root, model, FILES.manifest);
  if (!existsSync(manifest)) throw new UserError(`adapt.model: ${dirname(manifest)} holds no model (no manifest.json)`);
  return [...files, manifest];
}

/** `shop-000.tar` and its table `shop.jsonl` begin alike. */
function sharedName(tar: string): string {
  return tar.replace(/\.(tar|tar\.gz|tgz)$/i, '').replace(/-\d+$/, '');
}

/** The images of a table are stored beside it; a shard holds everything. */
const FILES_OF: Record<Prepare['pairs'][number]['format'], (match: string) => string[]> = {
  webdataset: (shard) => [shard],
  folder: filesBelow,
  csv: (table) => filesBelow(dirname(table)),
  jsonl: (table) => filesBelow(dirname(table)),
  labelled: (table) => [table, ...shardsOf(table)],
};

/** The tars beside a table of labels whose names begin with its own. */
function shardsOf(table: string): string[] {
  const stem = basename(table, '.jsonl');
  return readdirSync(dirname(table))
    .filter((name) => name.startsWith(stem) && name.endsWith('.tar'))
    .map((name) => join(dirname(table), name));
}

function notFound(where: string, path: string, root: string): UserError {
  return new UserError(
    `${where}: nothing matches ${path} in the data folder ${root}.\n` +
      `The folder comes from "data" in the recipe (relative to the recipe file); the environment variable ${ENVARS.data} overrides it.`,
  );
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => statSync(file, { throwIfNoEntry: false })?.isFile() === true);
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

function writeCache(file: string, cache: Cache): void {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, JSON.stringify(cache));
  renameSync(temporary, file);
}
