// Whether a Parquet file holds its images itself, which its footer says: then nothing beside it counts.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type FileMetaData, parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet';
import { imageColumnOf } from '../../../contracts/src/data/own-data.ts';

/** Behind the footer: its length in four bytes, and Parquet's name in four. */
const END = 8;

/** Every row holds bytes in the column of images, `column` or the one that the reader guesses. False where that is not known. */
export function holdsImages(file: string, column?: string): boolean {
  const found = metadataOf(file);
  if (found === undefined) return false;
  const columns = parquetSchema(found).children;
  const wanted = column ?? imageColumnOf(columns.map(({ element }) => element.name));
  const place = bytesOf(columns.find(({ element }) => element.name === wanted))?.path.join('.');
  if (place === undefined) return false;
  return found.row_groups.every(({ columns: chunks }) => {
    const held = chunks.find((chunk) => chunk.meta_data?.path_in_schema.join('.') === place)?.meta_data?.statistics;
    return held?.null_count !== undefined && Number(held.null_count) === 0;
  });
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
