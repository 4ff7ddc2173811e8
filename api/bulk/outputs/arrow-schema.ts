// The Arrow schema that a Parquet file carries beside its own: Parquet has no lists of one fixed length, Arrow has, and readers
// built on Arrow (pyarrow, pandas, Polars, DuckDB's Arrow, LanceDB) give columns the types that are written here.
import { Builder, type Offset } from 'flatbuffers';

/** Where Arrow's readers of Parquet look for it. */
export const ARROW_SCHEMA_KEY = 'ARROW:schema';

export interface ArrowField {
  name: string;
  type:
    | 'int8'
    | 'int32'
    | 'float32'
    | 'float64'
    | 'utf8'
    | { bytes: number }
    | { of: 'int8' | 'float32'; length: number };
  /** Absent: no value of the column is null. */
  isNullable?: boolean;
}

/** Members of the union `Type`, `MetadataVersion` and `MessageHeader` (format/Schema.fbs, format/Message.fbs). */
const TYPE = { int: 2, floatingPoint: 3, utf8: 5, fixedSizeBinary: 15, fixedSizeList: 16 } as const;
const V5 = 4;
const SCHEMA = 1;
/** Members of `Precision`. */
const PRECISION = { float32: 1, float64: 2 } as const;

/**
 * The schema as a message of Arrow's stream format ("Encapsulated message format"), base64. `metadata`: readers that have
 * this schema take no other.
 */
export function arrowSchema(fields: ArrowField[], metadata: Record<string, string>): string {
  const builder = new Builder();
  const schema = schemaOf(builder, fields, metadata);
  // In the order of format/Message.fbs: version, the type of the header, the header, bytes of the body.
  builder.startObject(4);
  builder.addFieldInt16(0, V5, 0);
  builder.addFieldInt8(1, SCHEMA, 0);
  builder.addFieldOffset(2, schema, 0);
  builder.finish(builder.endObject());
  const message = builder.asUint8Array();
  const padded = Math.ceil(message.length / 8) * 8;
  const bytes = Buffer.alloc(8 + padded);
  bytes.writeUInt32LE(0xffff_ffff, 0);
  bytes.writeInt32LE(padded, 4);
  bytes.set(message, 8);
  return bytes.toString('base64');
}

/** Its members: endianness, of which little is the default, fields, and metadata. */
function schemaOf(builder: Builder, fields: ArrowField[], metadata: Record<string, string>): Offset {
  const members = [
    fields.map((field) => fieldOf(builder, field)),
    Object.entries(metadata).map((entry) => keyValueOf(builder, entry)),
  ].map((offsets) => vectorOf(builder, offsets));
  builder.startObject(3);
  members.forEach((member, at) => {
    builder.addFieldOffset(1 + at, member, 0);
  });
  return builder.endObject();
}

function keyValueOf(builder: Builder, entry: [key: string, value: string]): Offset {
  const texts = entry.map((text) => builder.createString(text));
  builder.startObject(2);
  texts.forEach((text, at) => {
    builder.addFieldOffset(at, text, 0);
  });
  return builder.endObject();
}

/** Its members: name, nullable (no, by default), the type's kind, the type, dictionary, children. */
function fieldOf(builder: Builder, { name, type, isNullable = false }: ArrowField): Offset {
  const children =
    typeof type === 'object' && 'of' in type ? [fieldOf(builder, { name: 'element', type: type.of })] : [];
  const [kind, described] = typeOf(builder, type);
  const named = builder.createString(name);
  const below = vectorOf(builder, children);
  builder.startObject(6);
  builder.addFieldOffset(0, named, 0);
  builder.addFieldInt8(1, isNullable ? 1 : 0, 0);
  builder.addFieldInt8(2, kind, 0);
  builder.addFieldOffset(3, described, 0);
  builder.addFieldOffset(5, below, 0);
  return builder.endObject();
}

function typeOf(builder: Builder, type: ArrowField['type']): [kind: number, described: Offset] {
  builder.startObject(2);
  if (type === 'utf8') return [TYPE.utf8, builder.endObject()];
  if (type === 'float32' || type === 'float64') {
    builder.addFieldInt16(0, PRECISION[type], 0);
    return [TYPE.floatingPoint, builder.endObject()];
  }
  if (type === 'int8' || type === 'int32') {
    builder.addFieldInt32(0, type === 'int8' ? 8 : 32, 0);
    builder.addFieldInt8(1, 1, 0); // signed
    return [TYPE.int, builder.endObject()];
  }
  builder.addFieldInt32(0, 'of' in type ? type.length : type.bytes, 0);
  return ['of' in type ? TYPE.fixedSizeList : TYPE.fixedSizeBinary, builder.endObject()];
}

function vectorOf(builder: Builder, offsets: Offset[]): Offset {
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  return builder.endVector();
}
