// Images of a Parquet file: whether it holds them itself, and their names, by its footer or by its rows.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import {
  type ColumnMetaData,
  type Compressors,
  type FileMetaData,
  parquetMetadata,
  parquetSchema,
  type SchemaTree,
} from 'hyparquet';
import { readColumn } from 'hyparquet/src/column.js';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { imageColumnOf } from '../../../contracts/src/data/own-data.ts';

/** Behind the footer: its length in four bytes, and Parquet's name in four. */
const END = 8;
/** How rows may be packed besides Snappy, which the library reads itself; not LZ4, for which Node.js has nothing. */
const PACKED: Compressors = {
  GZIP: (bytes) => gunzipSync(bytes),
  BROTLI: (bytes) => brotliDecompressSync(bytes),
  ZSTD: (bytes) => zstdDecompressSync(bytes),
};

/** Every row holds bytes in the column of images, `column` or the one that the reader guesses. False where that is not known. */
export function holdsImages(file: string, column?: string): boolean {
  const found = metadataOf(file);
  if (found === undefined) return false;
  const place = bytesOf(imagesIn(found, column));
  if (place === undefined) return false;
  return statisticsOf(found, place).every((held) => held?.null_count !== undefined && Number(held.null_count) === 0);
}

/**
 * The first and the last name, in their order, of each group of rows: what begins both begins all between them. None where
 * the column holds something else, or a group does not say. Writers may cut them, so that no file is called so.
 */
export function boundsOfNames(file: string, column?: string): string[] {
  const { found, place } = namesIn(file, column) ?? {};
  if (found === undefined || place === undefined) return [];
  const bounds = statisticsOf(found, place).flatMap((said) => [
    said?.min_value ?? said?.min,
    said?.max_value ?? said?.max,
  ]);
  return bounds.every((bound) => typeof bound === 'string') ? [...new Set(bounds)] : [];
}

/** The names of the rows themselves, without repetition, from about the first `mostBytes` of them. None where they are packed as LZ4. */
export function namesOfRows(file: string, { mostBytes, column }: { mostBytes: number; column?: string }): string[] {
  const { found, place } = namesIn(file, column) ?? {};
  if (found === undefined || place === undefined) return [];
  const names = new Set<string>();
  let left = mostBytes;
  for (const chunk of chunksOf(found, place)) {
    if (chunk === undefined || left <= 0) continue;
    for (const name of textsOf(bytesOfChunk(file, chunk, left), chunk, [parquetSchema(found), place])) names.add(name);
    left -= Number(chunk.total_uncompressed_size);
  }
  return [...names];
}

/** The folders that names begin with alike. */
export function sharedFolder(names: readonly string[]): string {
  const [first = [], ...others] = names.map((name) => name.split('/').slice(0, -1));
  const end = first.findIndex((part, at) => others.some((other) => other[at] !== part));
  return (end < 0 ? first : first.slice(0, end)).join('/') || (names.every(isAbsolute) ? '/' : '.');
}

/** The column of images, `column` or the one that the reader guesses. */
function imagesIn(found: FileMetaData, column?: string): SchemaTree | undefined {
  const columns = parquetSchema(found).children;
  const wanted = column ?? imageColumnOf(columns.map(({ element }) => element.name));
  return columns.find(({ element }) => element.name === wanted);
}

/** The footer and the column of images, where it has their names. */
function namesIn(file: string, column?: string): { found: FileMetaData; place: SchemaTree } | undefined {
  const found = metadataOf(file);
  const place = found === undefined ? undefined : imagesIn(found, column);
  if (found === undefined || place === undefined || place.children.length > 0) return undefined;
  return bytesOf(place) === undefined ? { found, place } : undefined;
}

/** A column in each group of rows. */
function chunksOf({ row_groups }: FileMetaData, { path }: SchemaTree): (ColumnMetaData | undefined)[] {
  const place = path.join('.');
  return row_groups.map(
    ({ columns }) => columns.find((chunk) => chunk.meta_data?.path_in_schema.join('.') === place)?.meta_data,
  );
}

const statisticsOf = (found: FileMetaData, place: SchemaTree) =>
  chunksOf(found, place).map((chunk) => chunk?.statistics);

function bytesOfChunk(file: string, chunk: ColumnMetaData, most: number): Buffer {
  const bytes = Buffer.alloc(Math.min(most, Number(chunk.total_compressed_size)));
  const opened = openSync(file, 'r');
  try {
    // The dictionary is before the pages that refer to it.
    const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
    return bytes.subarray(0, readSync(opened, bytes, 0, bytes.length, start));
  } finally {
    closeSync(opened);
  }
}

/** The texts of a column in a group of rows, page by page as far as they can be read: the last page may be cut. */
function textsOf(bytes: Buffer, chunk: ColumnMetaData, path: [SchemaTree, SchemaTree]): string[] {
  const texts: string[] = [];
  const reader = { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0 };
  const all = { groupStart: 0, selectStart: 0, selectEnd: Infinity, groupRows: Number(chunk.num_values) };
  const [, { path: pathInSchema, element }] = path;
  const decoder = { ...chunk, pathInSchema, element, parsers: DEFAULT_PARSERS, compressors: PACKED };
  try {
    readColumn(reader, all, { ...decoder, schemaPath: path }, ({ columnData }) => {
      for (const text of columnData) if (typeof text === 'string') texts.push(text);
    });
  } catch {
    // Damaged, cut or packed otherwise: the trainer, which reads all of it, says in a sentence what is wrong.
  }
  return texts;
}

/** Where a column has bytes. The twin of `read_parquet` in trainer/towers/formats/tables.py: bytes, or Hugging Face's {bytes, path}. */
function bytesOf(column: SchemaTree | undefined): SchemaTree | undefined {
  if (column === undefined || column.children.length > 0)
    return column?.children.find(({ element }) => element.name === 'bytes');
  const { type, converted_type: converted, logical_type: logical } = column.element;
  return type === 'BYTE_ARRAY' && converted === undefined && logical === undefined ? column : undefined;
}

function metadataOf(file: string): FileMetaData | undefined {
  const opened = openSync(file, 'r');
  const { size } = fstatSync(opened);
  const last = (bytes: number): Buffer => {
    const buffer = Buffer.alloc(Math.min(bytes, size));
    readSync(opened, buffer, 0, buffer.length, size - buffer.length);
    return buffer;
  };
  try {
    return parquetMetadata(last(last(END).readUInt32LE(0) + END), { geoparquet: false });
  } catch {
    return undefined; // the reader says in a sentence what is wrong with it
  } finally {
    closeSync(opened);
  }
}
