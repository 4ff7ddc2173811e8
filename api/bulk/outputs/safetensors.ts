// The vectors of a shard as safetensors (huggingface/safetensors, README, "Format"): names and space in the metadata.
import { type Part, rowBytes } from './part.ts';

const TYPES = { float32: 'F32', int8: 'I8', binary: 'U8' } as const;

/** `embeddings` [rows, dimensions], of bits [rows, bytes]; `items` [rows], the number of each row's item. */
export function writeSafetensors(part: Part): Uint8Array {
  const { rows, matrix, model, type, dimensions, hasVideos } = part;
  const items = Buffer.alloc(rows.length * 8);
  for (const [row, { item }] of rows.entries()) items.writeBigInt64LE(BigInt(item), row * 8);
  const width = type === 'binary' ? rowBytes(part) : dimensions;
  // The wider numbers first, so that each tensor begins where its type may.
  const offsets = { items: items.length, end: items.length + matrix.length };
  const header = {
    __metadata__: {
      space_id: model.space_id,
      model: model.id,
      version: model.version,
      type,
      dimensions: String(dimensions),
      custom_ids: JSON.stringify(rows.map(({ custom_id }) => custom_id)),
      ...(hasVideos ? { videos: JSON.stringify(rows.map(({ video }) => video ?? null)) } : {}),
    },
    items: { dtype: 'I64', shape: [rows.length], data_offsets: [0, offsets.items] },
    embeddings: { dtype: TYPES[type], shape: [rows.length, width], data_offsets: [offsets.items, offsets.end] },
  };
  const text = Buffer.from(JSON.stringify(header));
  // Spaces fill the header up to a multiple of eight bytes.
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')]);
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([size, padded, items, matrix]);
}
