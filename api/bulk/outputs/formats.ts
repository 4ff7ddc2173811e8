// The table of formats: another one is a file beside this, a row here, and a word in BulkFormat.
import type { BulkFormat } from '../../../contracts/src/bulk/job.ts';
import { bulkFiles } from '../../../contracts/src/keys.ts';
import { writeJsonl } from './jsonl.ts';
import { writeIds, writeNpy } from './npy.ts';
import { writeParquet } from './parquet.ts';
import type { Part } from './part.ts';
import { writeSafetensors } from './safetensors.ts';

type Files = ReturnType<typeof bulkFiles>;

/** What each format leaves of a shard: files by name. */
const FORMATS: Record<BulkFormat, (part: Part, files: Files) => Record<string, Uint8Array>> = {
  jsonl: (part, files) => ({ [files.part('jsonl')]: writeJsonl(part) }),
  npy: (part, files) => ({ [files.part('npy')]: writeNpy(part), [files.ids]: writeIds(part) }),
  safetensors: (part, files) => ({ [files.part('safetensors')]: writeSafetensors(part) }),
  parquet: (part, files) => ({ [files.part('parquet')]: writeParquet(part) }),
};

export function writeFormats(part: Part, shard: number, formats: BulkFormat[]): [string, Uint8Array][] {
  const files = bulkFiles(shard);
  const written: [string, Uint8Array][] = [];
  for (const format of new Set(formats)) written.push(...Object.entries(FORMATS[format](part, files)));
  return written;
}
