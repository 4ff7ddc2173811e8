// The images of a table: those below it, and those that its rows name elsewhere, where trainer/towers/formats/places.py finds them.

import { closeSync, openSync, readdirSync, readSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { constants, gunzipSync } from 'node:zlib';
import { IMAGE_ENDINGS } from '../../../contracts/src/data/image-endings.ts';
import { type DataFormat, formatOf, withoutFormat } from '../../../contracts/src/data/own-data.ts';
import { filesBelow, isReadable, isShown, readableFilesBelow } from './file-digests.ts';
import { boundsOfNames, holdsImages, namesOfRows, sharedFolder } from './parquet-images.ts';

const IMAGE = new RegExp(`\\.(${IMAGE_ENDINGS.join('|')})$`, 'i');
const MAYBE_IMAGE = new RegExp(`\\.(${IMAGE_ENDINGS.join('|')})(#\\d+)?\\s*$`, 'i');
/** A cell that is an image. JSON may write a slash with a backslash before it. */
const DATA_URI = /(?:^|["\r\n,;\t|])\s*data:[\w/\\+.-]*[;,]/;
/** A text that ends in a dot, or with a word behind one: neither is a name without an ending, as v1.5 may be. */
const DOTTED = /\.(\D|$)/;
const isTar = (file: string): boolean => formatOf(file) === 'tar';

/**
 * The twin of `candidates` in trainer/towers/formats/places.py: folders in which images usually are, from that of their
 * table; of those that hold equally many the first one is taken.
 */
const PLACES: readonly ((start: string) => string[])[] = [
  (start) => [start],
  (start) => foldersIn(start),
  (start) => foldersIn(dirname(start)),
  (start) => foldersIn(join(start, 'images')),
];

/** As many names as tell a folder from the others; the reader looks at fewer, but knows in which column they are. */
const SAMPLE = 200;
/** Every command reads the beginning of a table again, and a table of millions of rows would keep it for minutes. */
const MOST_BYTES = 64 << 20;
/** Names without an ending are not told from other texts, of which there may be millions. */
const MOST_BARE = 10_000;

/**
 * A table with its images; a tar may have its table beside it. Nothing else that lies there counts: a table may lie in
 * a folder where people work.
 */
export function filesOfTable(file: string, root: string, imageColumn?: string): string[] {
  if (isTar(file)) return [file, ...rowsBeside(file)];
  const start = dirname(file);
  const text = textOf(file);
  const named = text === undefined ? imagesOfParquet(file, root, imageColumn) : imagesElsewhere(file, text, root);
  if (named !== undefined) return [...new Set([file, ...imagesBelow(start), ...named])];
  if (text === undefined ? holdsImages(file, imageColumn) : DATA_URI.test(text)) return [file];
  // What its rows name is nowhere, or its footer (Parquet) does not say enough. LICENSE alone, which may be an image, does not end the search.
  const below = imagesBelow(start);
  return [file, ...below, ...(below.some((image) => IMAGE.test(image)) ? [] : imagesBeside(start))];
}

/** Everything in a folder but hidden files, as the reader sees it, and the images of tables in it that lie elsewhere. */
export function filesOfFolder(folder: string, root: string, imageColumn?: string): string[] {
  const files = filesBelow(folder, isShown);
  // Shards go before a table that lies beside them, and a text beside an image is its caption.
  if (files.some((file) => dirname(file) === folder && isTar(file))) return files;
  const images = new Set(files.filter((file) => IMAGE.test(file)).map(withoutEnding));
  const tables = files.filter((file) => isTable(file, folder) && !images.has(withoutEnding(file)));
  return [...new Set([...files, ...tables.flatMap(elsewhere)])];

  function elsewhere(table: string): string[] {
    const text = textOf(table);
    return (text === undefined ? imagesOfParquet(table, root, imageColumn) : imagesElsewhere(table, text, root)) ?? [];
  }
}

/** Formats whose files are text. */
const TEXTS: ReadonlySet<DataFormat | undefined> = new Set<DataFormat>(['csv', 'jsonl', 'json']);
const TABLES: ReadonlySet<DataFormat | undefined> = new Set<DataFormat | undefined>([...TEXTS, 'parquet']);
const METADATA = /^metadata\.(jsonl|csv|parquet)$/;

/** The twin of `is_table` in trainer/towers/formats/folders.py, without what the first line of a text file says. */
function isTable(file: string, folder: string): boolean {
  const name = basename(file);
  if (METADATA.test(name)) return true;
  return dirname(file) === folder && TABLES.has(formatOf(file)) && withoutFormat(name).toLowerCase() !== 'classes';
}

const withoutEnding = (file: string): string => file.slice(0, file.length - extname(file).length);

/** `shop-000.tar` and its table `shop.jsonl` begin alike. */
function rowsBeside(tar: string): string[] {
  const shared = basename(withoutFormat(tar)).replace(/-\d+$/, '');
  const names = namesOf(dirname(tar)).filter((name) => name.startsWith(shared) && formatOf(name) === 'jsonl');
  return names.map((name) => join(dirname(tar), name));
}

/** Programs keep what is theirs in some folders. */
const isPeoples = (name: string): boolean => isShown(name) && name !== 'node_modules' && name !== '__pycache__';

/** A file without an ending may be an image, too. */
const mayBeImage = (file: string): boolean => IMAGE.test(file) || !basename(file).includes('.');

/** That images are there is a guess: what may not be read is none of them. */
const imagesBelow = (folder: string): string[] => readableFilesBelow(folder, isPeoples).filter(mayBeImage);

/** The images in the folders beside one, and not what is below them: a table may lie in the folder of a user among others. */
function imagesBeside(folder: string): string[] {
  const beside = foldersIn(dirname(folder)).filter((other) => other !== folder && isPeoples(basename(other)));
  return beside.flatMap((other) =>
    namesOf(other)
      .filter((name) => isShown(name) && mayBeImage(name))
      .map((name) => join(other, name))
      .filter((file) => isFile(file) && isReadable(file)),
  );
}

/** The images that rows name outside the table's folder; undefined where none of what they name is found anywhere. */
function imagesElsewhere(table: string, text: string, root: string): string[] | undefined {
  const start = dirname(table);
  // Karpathy's documents name the folder of an image apart from its file.
  const inside = ['', ...new Set([...text.matchAll(/"filepath"\s*:\s*"([^"]+)"/g)].map(([, folder = '']) => folder))];
  const meant = filesMeant();
  const isThere = (path: string): boolean => meant(path).length > 0;
  for (const names of namesIn(text)) {
    const near = names.filter((name) => !isFar(name));
    const folder = folderOf(start, near, { inside: inside.slice(0, 20), isThere });
    // Rows may say in another column where the images came from, which matters to nobody if it is not in the data.
    const far = names
      .filter(isFar)
      .map((name) => resolve(start, name))
      .filter((file) => folder === undefined || isIn(file, root))
      .flatMap(meant);
    if (folder !== undefined || far.length > 0)
      return [...(folder === undefined || folder === start ? [] : imagesBelow(folder)), ...far];
  }
  return undefined;
}

/** Of the images of Parquet, by its footer or else by its rows; undefined also where it holds them itself. */
function imagesOfParquet(table: string, root: string, column?: string): string[] | undefined {
  if (formatOf(table) !== 'parquet' || holdsImages(table, column)) return undefined;
  const bounds = boundsOfNames(table, column).map((name) => name.replaceAll('\\', '/').replace(/^file:\/\//, ''));
  if (bounds.length > 0 && bounds.every((name) => name.includes('://'))) return undefined;
  const within = imagesWithin(table, bounds, root);
  return within ?? imagesElsewhere(table, namesOfRows(table, { mostBytes: MOST_BYTES, column }).join('\n'), root);
}

/** The images of names that all begin as the first and the last one do. */
function imagesWithin(table: string, bounds: readonly string[], root: string): string[] | undefined {
  if (!bounds.every(isFar)) return imagesElsewhere(table, bounds.join('\n'), root);
  const folder = resolve(dirname(table), sharedFolder(bounds));
  // All that lies around the table may be a user's folder among others.
  const images = isIn(table, folder) ? [] : imagesBelow(folder);
  return images.length > 0 ? images : undefined;
}

/** The twin of `folder_of` in places.py: the folder near the table that holds most of the names. */
function folderOf(
  start: string,
  names: readonly string[],
  { inside, isThere }: { inside: readonly string[]; isThere: (path: string) => boolean },
): string | undefined {
  const step = Math.max(1, Math.floor(names.length / SAMPLE));
  const some = names.filter((_, number) => number % step === 0);
  let best: { folder: string; held: number } | undefined;
  for (const folder of some.length === 0 ? [] : PLACES.flatMap((place) => place(start))) {
    const held = some.filter((name) => inside.some((part) => isThere(join(folder, part, name)))).length;
    if (held > (best?.held ?? 0)) best = { folder, held };
    if (held === some.length) break;
  }
  return best?.folder;
}

/**
 * The twin of `file_of` in trainer/towers/formats/item.py: a name without ending means the image that is called so, and one
 * in another form of Unicode (Macs decompose letters) the file that looks the same.
 */
function filesMeant(): (path: string) => string[] {
  const folders = new Map<string, Folder>();
  const folderAt = (path: string): Folder => {
    const found = folders.get(path) ?? folderOfNames(namesOf(path));
    folders.set(path, found);
    return found;
  };
  const stored = (path: string): string => {
    if (!/[^ -~]/.test(path) || statsOf(path) !== undefined || dirname(path) === path) return path;
    const folder = stored(dirname(path));
    return join(folder, folderAt(folder).composed.get(basename(path).normalize()) ?? basename(path));
  };
  return (named) => {
    const path = stored(named);
    if (isFile(path)) return [path];
    const called = folderAt(dirname(path)).called.get(basename(path).normalize()) ?? [];
    return called.map((name) => join(dirname(path), name));
  };
}

/** Names in a folder by their composed form (NFC), and images by that of their names without ending. */
interface Folder {
  composed: ReadonlyMap<string, string>;
  called: ReadonlyMap<string, string[]>;
}

const folderOfNames = (names: readonly string[]): Folder => ({
  composed: new Map(names.map((name) => [name.normalize(), name])),
  called: Map.groupBy(
    names.filter((name) => IMAGE.test(name)),
    (name) => withoutEnding(name).normalize(),
  ),
});

/** Texts of a table that may name an image, without repetition: those with the ending of one, and those without any. */
function namesIn(text: string): string[][] {
  const ended = new Set<string>();
  const bare = new Set<string>();
  const add = (piece: string): void => {
    if (piece.length === 0 || piece.length > 4096 || (bare.size === MOST_BARE && !MAYBE_IMAGE.test(piece))) return;
    // Flickr8k's `1.jpg#0` is the first caption of an image.
    const name = unescaped(piece)
      .trim()
      .replace(/#\d+$/, '')
      .replace(/^file:\/\//, '');
    if (name.includes('://')) return;
    // Windows writes backslashes between folders, which JSON doubles.
    if (name.includes('\\')) add(name.replace(/\\+/g, '/'));
    if (IMAGE.test(name)) ended.add(name);
    else if (bare.size < MOST_BARE && name.length > 0 && name.length < 256 && !DOTTED.test(basename(name)))
      bare.add(name);
  };
  for (const piece of text.split(/["\r\n]/)) {
    add(piece);
    // A name in quotes may hold a comma; without them cells end there.
    if (/[,;\t|]/.test(piece)) piece.split(/[,;\t|]/).forEach(add);
  }
  return [[...ended], [...bare]];
}

/** As JSON writes letters beyond ASCII, and some programs slashes. */
function unescaped(piece: string): string {
  if (!piece.includes('\\')) return piece;
  return piece
    .replace(/\\u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
    .replaceAll('\\/', '/');
}

/** The beginning of a table that is text, as `decoded_bytes` of places.py decodes it; undefined for another one. */
function textOf(table: string): string | undefined {
  if (!TEXTS.has(formatOf(table))) return undefined;
  const bytes = beginningOf(table);
  if (bytes === undefined) return undefined;
  const [first, second] = bytes;
  if (first === 0xff && second === 0xfe) return new TextDecoder('utf-16le').decode(bytes);
  if (first === 0xfe && second === 0xff) return new TextDecoder('utf-16be').decode(bytes);
  try {
    // The last letter may be cut.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

function beginningOf(table: string): Buffer | undefined {
  const bytes = Buffer.alloc(Math.min(statSync(table).size, MOST_BYTES));
  const file = openSync(table, 'r');
  try {
    const read = bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0));
    if (read[0] !== 0x1f || read[1] !== 0x8b) return read;
    return gunzipSync(read, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, MOST_BYTES);
  } catch {
    return undefined; // the reader says in a sentence what is wrong with it
  } finally {
    closeSync(file);
  }
}

/** Not told by the folder that holds most: from the root of the disk, or through the folder above. */
const isFar = (name: string): boolean => isAbsolute(name) || name.split('/').includes('..');

function isIn(file: string, folder: string): boolean {
  const way = relative(folder, file);
  return way.split(sep)[0] !== '..' && !isAbsolute(way);
}

const isFile = (path: string): boolean => statsOf(path)?.isFile() ?? false;

/** Undefined also for a link to itself, for what may not be seen and for what is no path at all. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** The folders in a folder, sorted. */
function foldersIn(folder: string): string[] {
  const entries = namesOf(folder).map((name) => join(folder, name));
  return entries.filter((path) => statsOf(path)?.isDirectory() ?? false).sort();
}

/** What is in a folder; nothing where it is missing or may not be read. */
function namesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
