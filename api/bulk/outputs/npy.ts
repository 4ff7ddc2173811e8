// The vectors of a shard as a NumPy array of format 1.0 (numpy.lib.format), and beside it which row is which item.
import { encodeLines } from '../service/lines.ts';
import { type Part, rowBytes } from './part.ts';

const TYPES = { float32: '<f4', int8: '|i1', binary: '|u1' } as const;
/** Header and data begin at a multiple of this. */
const ALIGNED = 64;

/** [rows, dimensions]; of bits [rows, bytes], eight of them in a byte as `numpy.packbits` has them. */
export function writeNpy(part: Part): Uint8Array {
  const columns = part.type === 'binary' ? rowBytes(part) : part.dimensions;
  const text = `{'descr': '${TYPES[part.type]}', 'fortran_order': False, 'shape': (${part.rows.length}, ${columns}), }`;
  const before = 10;
  const length = Math.ceil((before + text.length + 1) / ALIGNED) * ALIGNED - before;
  const header = Buffer.alloc(before + length, ' ');
  header.write('\x93NUMPY\x01\x00', 0, 'latin1');
  header.writeUInt16LE(length, 8);
  header.write(text, before, 'latin1');
  header.write('\n', before + length - 1, 'latin1');
  return Buffer.concat([header, part.matrix]);
}

/** An array has no room for names: the lines have. */
export function writeIds({ rows, model, type, dimensions }: Part): Uint8Array {
  const { space_id } = model;
  return encodeLines(
    rows.map(({ item, custom_id, video }, row) => ({ row, item, custom_id, space_id, type, dimensions, video })),
  );
}
