// The vectors of a shard as Parquet: a row per item, its vector a list of numbers that all have the same length.
import { parquetWriteBuffer, type SchemaElement } from 'hyparquet-writer';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { ARROW_SCHEMA_KEY, type ArrowField, arrowSchema } from './arrow-schema.ts';
import { type Part, rowBytes, rowOf } from './part.ts';

const required = { repetition_type: 'REQUIRED' } as const;
const STRING = { type: 'BYTE_ARRAY', converted_type: 'UTF8', ...required } as const;

/** Of the part of a video that a row is of; null in the other rows. Only in the files of jobs that read videos. */
const SPAN = [
  { name: 'start_seconds', type: 'DOUBLE', arrow: 'float64' },
  { name: 'end_seconds', type: 'DOUBLE', arrow: 'float64' },
  { name: 'frames', type: 'INT32', arrow: 'int32' },
] as const;

const spanOf = ({ hasVideos }: Part): readonly (typeof SPAN)[number][] => (hasVideos ? SPAN : []);

/** Of bits, a fixed number of bytes; else the three-level list of the format's description (LogicalTypes.md, "Lists"). */
function embeddingSchema(part: Part): SchemaElement[] {
  const name = 'embedding';
  if (part.type === 'binary') {
    return [{ name, type: 'FIXED_LEN_BYTE_ARRAY', type_length: rowBytes(part), ...required }];
  }
  const element: SchemaElement =
    part.type === 'float32'
      ? { name: 'element', type: 'FLOAT', ...required }
      : { name: 'element', type: 'INT32', converted_type: 'INT_8', ...required };
  return [
    { name, converted_type: 'LIST', num_children: 1, ...required },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    element,
  ];
}

/** The same columns as Arrow has them. */
function arrowFields(part: Part): ArrowField[] {
  const { type, dimensions } = part;
  return [
    { name: 'item', type: 'int32' },
    { name: 'custom_id', type: 'utf8' },
    { name: 'embedding', type: type === 'binary' ? { bytes: rowBytes(part) } : { of: type, length: dimensions } },
    { name: 'space_id', type: 'utf8' },
    ...spanOf(part).map(({ name, arrow }) => ({ name, type: arrow, isNullable: true })),
  ];
}

/** Columns `item`, `custom_id`, `embedding` and `space_id`, and of videos `start_seconds`, `end_seconds` and `frames`; model, type and dimensions are in the file's metadata. */
export function writeParquet(part: Part): Uint8Array {
  const { rows, model, type, dimensions } = part;
  const schema: SchemaElement[] = [
    { name: 'root', num_children: 4 + spanOf(part).length },
    { name: 'item', type: 'INT32', ...required },
    { name: 'custom_id', ...STRING },
    ...embeddingSchema(part),
    { name: 'space_id', ...STRING },
    ...spanOf(part).map(({ name, type }) => ({ name, type, repetition_type: 'OPTIONAL' as const })),
  ];
  const metadata = {
    space_id: model.space_id,
    model: model.id,
    version: model.version,
    type,
    dimensions: String(dimensions),
  };
  const buffer = parquetWriteBuffer({
    schema,
    createdBy: 'edge-clip',
    // Vectors have no order that statistics would help with, and hardly get smaller.
    columnData: [
      { name: 'item', data: Int32Array.from(rows, ({ item }) => item) },
      { name: 'custom_id', data: rows.map(({ custom_id }) => custom_id) },
      { name: 'embedding', data: rows.map((_, row) => valuesOf(part, row)), codec: 'UNCOMPRESSED', statistics: false },
      { name: 'space_id', data: rows.map(() => model.space_id) },
      ...spanOf(part).map(({ name }) => ({ name, data: rows.map(({ video }) => video?.[name] ?? null) })),
    ],
    kvMetadata: Object.entries({
      ...metadata,
      [ARROW_SCHEMA_KEY]: arrowSchema(arrowFields(part), metadata),
    }).map(([key, value]) => ({ key, value })),
  });
  return new Uint8Array(buffer);
}

function valuesOf(part: Part, row: number): Uint8Array | number[] {
  const bytes = rowOf(part, row);
  if (part.type === 'binary') return bytes;
  return Array.from(part.type === 'float32' ? (fromFloat32Bytes(bytes) ?? []) : Int8Array.from(bytes));
}
