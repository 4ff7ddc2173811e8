// Whether a Parquet file holds its images itself, which its footer says: then nothing beside it counts.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type FileMetaData, parquetMetadata, type SchemaElement } from 'hyparquet';
import { imageColumnOf } from '../../../contracts/src/data/own-data.ts';

/** Behind the footer: its length in four bytes, and Parquet's name in four. */
const END = 8;

/** Every row holds bytes in the column of images, `column` or the one that the reader guesses. False where that is not known. */
export function holdsImages(file: string, column?: string): boolean {
  const found = metadataOf(file);
  if (found === undefined) return false;
  const columns = columnsOf(found.schema);
  const wanted = column ?? imageColumnOf([...columns.keys()]);
  const place = wanted === undefined ? undefined : columns.get(wanted);
  if (place === undefined) return false;
  return found.row_groups.every(({ columns: chunks }) => {
    const held = chunks.find((chunk) => chunk.meta_data?.path_in_schema.join('.') === place)?.meta_data?.statistics;
    return held?.null_count !== undefined && Number(held.null_count) === 0;
  });
}

/** The columns of a table with the place in each where bytes are; undefined for one that holds none. */
function columnsOf(schema: readonly SchemaElement[]): Map<string, string | undefined> {
  const columns = new Map<string, string | undefined>();
  for (let at = 1; at < schema.length; at = after(schema, at)) {
    const column = schema[at];
    if (column === undefined) break;
    columns.set(column.name, placeOfBytes(schema, at, column));
  }
  return columns;
}

/** The twin of `read_parquet` in trainer/towers/formats/tables.py: bytes, or Hugging Face's {bytes, path}. */
function placeOfBytes(schema: readonly SchemaElement[], at: number, column: SchemaElement): string | undefined {
  const { name, type, converted_type: converted, logical_type: logical, num_children: parts } = column;
  if (!parts) return type === 'BYTE_ARRAY' && converted === undefined && logical === undefined ? name : undefined;
  for (let part = at + 1; part < after(schema, at); part = after(schema, part))
    if (schema[part]?.name === 'bytes') return `${name}.bytes`;
  return undefined;
}

/** Where the element behind one and its parts is: a schema is its tree, depth first. */
function after(schema: readonly SchemaElement[], at: number): number {
  let next = at + 1;
  for (let part = 0; part < (schema[at]?.num_children ?? 0); part++) next = after(schema, next);
  return next;
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
