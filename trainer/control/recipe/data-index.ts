// Indexes the user's data under digests: the files that `prepare`, `adapt` and `imitate` name, by relative path, size and SHA-256.

import { existsSync, globSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { DEV_SETS, type DevSetName } from '../../../contracts/src/data/dev-sets.ts';
import { formatOf, withoutFormat } from '../../../contracts/src/data/own-data.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { DECIDES, MEASURED_ON, PARTS, type Part } from '../../../contracts/src/training/parts.ts';
import type { Recipe } from '../../../contracts/src/training/recipe.ts';
import type { Split } from '../../../contracts/src/training/stages/prepare.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type DigestOptions, digestOfFiles, digestsOf, filesBelow, type IndexedFile, isShown } from './file-digests.ts';
import { filesOfFolder, filesOfTable } from './table-images.ts';

type Prepare = NonNullable<Recipe['prepare']>;
/** What is made from a file, or that figures are measured on it. */
type Use = Part | typeof MEASURED_ON;
const USES: readonly Use[] = [...PARTS, MEASURED_ON];

/** Tars behind the sources of `prepare`: each is an element of it. */
export interface PairTars {
  count: number;
  bytes: number;
}

/** The data as one digest, and the files behind it; `path` is relative to the data folder, with slashes. */
export interface DataIndex {
  digest: string;
  /** By part of what `prepare` makes, the digest over the files that the part is made from; and over those that are measured on. */
  parts: Record<string, string>;
  files: IndexedFile[];
  /** The tars behind the sources of `prepare`. */
  tars: PairTars;
}

/** Other files in the data folder may change freely; a change of those that the recipe reads gives a new content address. */
export async function indexData(recipe: Recipe, root: string, options: DigestOptions): Promise<DataIndex> {
  const found = dataFilesOrSource(recipe, root);
  const digests = await digestsOf([...found.keys()], options);
  const files = [...found].map(([file, parts]) => {
    const { size, digest } = digests.get(file) ?? { size: 0, digest: '' };
    return { parts, indexed: { path: relative(root, file).split(sep).join('/'), size, digest } };
  });
  const madeFrom = (use: Use): IndexedFile[] =>
    files.filter(({ parts }) => parts.has(use)).map(({ indexed }) => indexed);
  return {
    digest: digestOfFiles(files.map(({ indexed }) => indexed)),
    parts: Object.fromEntries(USES.map((use) => [use, digestOfFiles(madeFrom(use))])),
    files: files.map(({ indexed }) => indexed),
    tars: tarsOf(madeFrom('pairs')),
  };
}

function tarsOf(files: readonly IndexedFile[]): PairTars {
  const tars = files.filter(({ path }) => formatOf(path) === 'tar');
  return { count: tars.length, bytes: tars.reduce((sum, { size }) => sum + size, 0) };
}

/**
 * Every file that a stage may open, sorted, with the parts of what `prepare` writes that are made from it. A path that
 * names nothing is refused at once and not after an hour.
 */
export function dataFiles({ prepare, adapt, imitate, evaluate }: Recipe, root: string): Map<string, ReadonlySet<Use>> {
  const found: [string, readonly Use[]][] = [
    ...(prepare === undefined ? [] : filesOfPrepare(prepare, root)),
    ...(adapt === undefined ? [] : filesOfAdapt(adapt, root).map((file): [string, Use[]] => [file, []])),
    ...(imitate === undefined ? [] : filesOfImitate(imitate, root).map((file): [string, Use[]] => [file, []])),
    ...(evaluate?.dev_sets ?? []).flatMap((name) => filesOfDevSet(name, root)),
  ];
  const files = new Map<string, Set<Use>>();
  for (const [file, parts] of found) files.set(file, new Set([...(files.get(file) ?? []), ...parts]));
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function filesOfPrepare(prepare: Prepare, root: string): [string, readonly Use[]][] {
  const files: [string, readonly Use[]][] = [];
  const add = (path: string, where: string, parts: readonly Use[]): void => {
    if (!existsSync(resolve(root, path))) throw notFound(where, path, root);
    files.push([resolve(root, path), parts]);
  };
  prepare.pairs.forEach(({ format, path, image_column, class_names, translated_captions, split }, index) => {
    const uses = usesIn(split, DECIDES.pairs);
    // Each file that braces name has to be there, as `prepare` wants it: a shard that is missing is seen before a day's work.
    const found = expanded(path).flatMap((pattern) => {
      const matches = globSync(pattern, { cwd: root }).map((name) => resolve(root, name));
      if (matches.length === 0) throw notFound(`prepare.pairs[${index}].path`, pattern, root);
      return matches;
    });
    if (class_names !== undefined) add(class_names, `prepare.pairs[${index}].class_names`, uses);
    for (const file of found.flatMap((match) => FILES_OF[format](match, root, image_column))) files.push([file, uses]);
    for (const [language, file] of Object.entries(translated_captions ?? {})) {
      add(file, `prepare.pairs[${index}].translated_captions.${language}`, uses);
    }
  });
  prepare.texts.forEach(({ path, kind, split }, index) => {
    add(path, `prepare.texts[${index}].path`, usesIn(split, [`${kind}.${split}`]));
  });
  for (const key of ['classes', 'class_images'] as const) {
    const path = prepare[key];
    if (path === null) continue;
    add(path, `prepare.${key}`, [...DECIDES[key], MEASURED_ON]);
    const rows = `${withoutFormat(resolve(root, path))}.jsonl`;
    if (existsSync(rows)) files.push([rows, [...DECIDES[key], MEASURED_ON]]);
  }
  return files;
}

/** What a source of that split is used for. */
const usesIn = (split: Split, parts: readonly Part[]): readonly Use[] =>
  split === 'dev' ? [...parts, MEASURED_ON] : parts;

/** The patterns behind `{000..287}` and `{a,b}`, as trainer/towers/sources.py expands them. */
function expanded(pattern: string): string[] {
  const [whole, before = '', inside = '', after = ''] = /^([^{]*)\{([^{}]*)\}(.*)$/s.exec(pattern) ?? [];
  if (whole === undefined) return [pattern];
  const [, first, last] = /^(\d+)\.\.(\d+)$/.exec(inside) ?? [];
  const options = first === undefined || last === undefined ? inside.split(',') : countedFrom(first, last);
  return options.flatMap((option) => expanded(after).map((rest) => `${before}${option}${rest}`));
}

/** The numbers from one to another one, with leading zeros where one of them has some. */
function countedFrom(first: string, last: string): string[] {
  const padded = [first, last].some((number) => number.length > 1 && number.startsWith('0'));
  const width = padded ? Math.max(first.length, last.length) : 0;
  const length = Math.max(0, Number(last) - Number(first) + 1);
  return Array.from({ length }, (_, n) => String(Number(first) + n).padStart(width, '0'));
}

/** The model itself is a folder of weights, with a digest of its own. */
function filesOfAdapt({ model, own }: NonNullable<Recipe['adapt']>, root: string): string[] {
  const files: string[] = [];
  for (const key of ['path', 'dev_path', 'classes', 'further_captions'] as const) {
    const path = own[key];
    if (path === null) continue;
    const file = resolve(root, path);
    if (!existsSync(file)) throw notFound(`adapt.own.${key}`, path, root);
    if (statSync(file).isDirectory()) files.push(...filesOfFolder(file, root, own.image_column ?? undefined));
    else if (key === 'classes' || key === 'further_captions') files.push(file);
    else files.push(...filesOfTable(file, root, own.image_column ?? undefined));
  }
  const manifest = resolve(root, model, FILES.manifest);
  if (!existsSync(manifest)) throw new UserError(`adapt.model: ${dirname(manifest)} holds no model (no manifest.json)`);
  return files;
}

function filesOfImitate({ captions, features }: NonNullable<Recipe['imitate']>, root: string): string[] {
  return [...captions, ...(features === null ? [] : [features])].map((path) => {
    const file = resolve(root, path);
    if (!existsSync(file)) throw notFound(`imitate.${captions.includes(path) ? 'captions' : 'features'}`, path, root);
    return file;
  });
}

function filesOfDevSet(name: DevSetName, root: string): [string, readonly Use[]][] {
  return DEV_SETS[name].map((path) => {
    const file = resolve(root, path);
    if (!existsSync(file)) throw notFound(`evaluate.dev_sets: ${name}`, path, root);
    return [file, [MEASURED_ON]];
  });
}

/** The images of a table are stored beside it; a shard holds everything. */
const FILES_OF: Record<Prepare['pairs'][number]['format'], (match: string, root: string, column?: string) => string[]> =
  {
    // What img2dataset could not download is counted in NAME_stats.json.
    webdataset: (shard) => [shard, ...existing(`${withoutFormat(shard)}_stats.json`)],
    folder: (folder) => filesBelow(folder, isShown),
    csv: filesOfTable,
    jsonl: filesOfTable,
    labelled: (table) => [table, ...shardsOf(table)],
    any: (match, root, column) =>
      statSync(match).isDirectory() ? filesOfFolder(match, root, column) : filesOfTable(match, root, column),
  };

const existing = (file: string): string[] => (existsSync(file) ? [file] : []);

/** The tars beside a table of labels whose names begin with its own. */
function shardsOf(table: string): string[] {
  const stem = basename(withoutFormat(table));
  return readdirSync(dirname(table))
    .filter((name) => name.startsWith(stem) && formatOf(name) === 'tar')
    .map((name) => join(dirname(table), name));
}

/** Says also where the data comes from, if the recipe says so. */
function dataFilesOrSource(recipe: Recipe, root: string): Map<string, ReadonlySet<Use>> {
  try {
    return dataFiles(recipe, root);
  } catch (error) {
    if (!(error instanceof UserError) || recipe.data_source === undefined) throw error;
    throw new UserError(`${error.message}\nWhere it comes from: ${recipe.data_source}`);
  }
}

function notFound(where: string, path: string, root: string): UserError {
  return new UserError(
    `${where}: nothing matches ${path} in the data folder ${root}.\n` +
      `The folder comes from "data" in the recipe (relative to the recipe file, where the environment variable ${ENVARS.data} overrides it; or absolute).`,
  );
}

/** Bytes of all files of some indexes. */
export function bytesOf(indexes: readonly { files: readonly { size: number }[] }[]): number {
  return indexes.flatMap(({ files }) => files).reduce((bytes, { size }) => bytes + size, 0);
}
