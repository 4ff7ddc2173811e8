// The footer of a Parquet file, as far as it speaks of images: whether it holds them itself, and the first and last of their names.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet';
import { imageColumnOf } from '../../../contracts/src/data/own-data.ts';

/** Behind the footer: its length in four bytes, and Parquet's name in four. */
const END = 8;

/** Every row holds bytes in the column of images, `column` or the one that the reader guesses. False where that is not known. */
export function holdsImages(file: string, column?: string): boolean {
  const found = metadataOf(file);
  if (found === undefined) return false;
  const place = bytesOf(imagesIn(found, column));
  if (place === undefined) return false;
  return statisticsOf(found, place).every((held) => held?.null_count !== undefined && Number(held.null_count) === 0);
}

/**
 * The first and the last name, in their order, of each group of rows: what begins both begins all between them. Its rows are
 * packed in ways of which not all are read here. None where the column holds something else, or nobody counted.
 */
export function boundsOfNames(file: string, column?: string): string[] {
  const found = metadataOf(file);
  if (found === undefined) return [];
  const place = imagesIn(found, column);
  if (place === undefined || place.children.length > 0 || bytesOf(place) !== undefined) return [];
  const bounds = statisticsOf(found, place).flatMap((said) => [
    said?.min_value ?? said?.min,
    said?.max_value ?? said?.max,
  ]);
  return [...new Set(bounds.filter((bound) => typeof bound === 'string'))];
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

/** Of each group of rows. */
function statisticsOf({ row_groups }: FileMetaData, { path }: SchemaTree) {
  const place = path.join('.');
  return row_groups.map(
    ({ columns }) =>
      columns.find((chunk) => chunk.meta_data?.path_in_schema.join('.') === place)?.meta_data?.statistics,
  );
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
