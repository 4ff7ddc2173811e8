// The vectors of a shard as JSON lines, base64 in each: what reads anywhere.
import type { BulkResult } from '../../../contracts/src/bulk/lines.ts';
import { encodeLines } from '../service/lines.ts';
import { type Part, rowOf } from './part.ts';

export function writeJsonl(part: Part): Uint8Array {
  return encodeLines(
    part.rows.map(({ item, custom_id, modality, ...receipt }, index): BulkResult => {
      const embedding = Buffer.from(rowOf(part, index)).toString('base64');
      return { item, custom_id, modality, embedding, space_id: part.model.space_id, ...receipt };
    }),
  );
}
