// A file that `faiss.read_index` opens: a flat index, of inner products or of Hamming distances.
import { type Database, refusePartialBytes } from './database.ts';
import { openNewFile } from './new-file.ts';
import type { Kind } from './vectors.ts';

const INNER_PRODUCT = 0;
const L2 = 1;
/** faiss writes it twice where older versions had something, and skips it. */
const UNUSED = 1n << 20n;

export const faiss: Database = {
  form: 'faiss:FILE',
  types: ['float32', 'binary'],
  // Its rows have no names.
  keepsAll: true,
  async open({ place }, kind) {
    refusePartialBytes(kind);
    const [index, names] = await Promise.all([openNewFile(place), openNewFile(`${place}.ids.jsonl`)]);
    let count = 0;
    await index.write(headerOf(kind, 0));
    return {
      async write(vectors) {
        await index.write(Buffer.concat(vectors.map(({ bytes }) => bytes)));
        const lines = vectors.map(({ custom_id, modality }, at) => {
          return `${JSON.stringify({ row: count + at, custom_id, modality, space_id: kind.space_id })}\n`;
        });
        await names.write(lines.join(''));
        count += vectors.length;
      },
      async finish() {
        await index.write(headerOf(kind, count), 0);
        await names.finish();
        await index.finish();
      },
      async close() {
        await Promise.all([index.close(), names.close()]);
      },
    };
  },
  query: ({ place }, { type }) =>
    `${type === 'binary' ? 'faiss.read_index_binary' : 'faiss.read_index'}("${place}").search(queries, 10)`,
};

/** As faiss/impl/index_write.cpp writes an IndexFlat or IndexBinaryFlat, up to its first vector. */
function headerOf({ type, dimensions }: Kind, count: number): Buffer {
  const size = type === 'binary' ? dimensions / 8 : dimensions;
  const fields =
    type === 'binary'
      ? [text('IBxF'), int32(dimensions), int32(size), int64(count), byte(1), int32(L2)]
      : [text('IxFI'), int32(dimensions), int64(count), int64(UNUSED), int64(UNUSED), byte(1), int32(INNER_PRODUCT)];
  // Floats are counted by fours of bytes, which is by floats; bits by bytes.
  return Buffer.concat([...fields, int64(count * size)]);
}

const text = (value: string): Buffer => Buffer.from(value, 'latin1');
const byte = (value: number): Buffer => Buffer.from([value]);
function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}
function int64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}
