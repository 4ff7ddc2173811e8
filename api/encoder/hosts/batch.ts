// AWS Batch entry, and the same on a laptop: encodes one shard of a bulk job from a folder into a folder.

import { fileURLToPath } from 'node:url';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import type { BulkEvent } from '../../../contracts/src/events.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { bulkFiles } from '../../../contracts/src/keys.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { encodeShard } from '../shard.ts';
import { openTower } from './service.ts';

const HELP = `Usage: node api/encoder/hosts/batch.ts INPUT OUTPUT [--shard N] [--model FOLDER]

Reads shard-NNNN.jsonl in INPUT: one {"custom_id", "image": base64} or {"custom_id", "path": file in INPUT} per line.
Writes part-NNNN.jsonl and errors-NNNN.jsonl in OUTPUT, and part-NNNN.done.json last. INPUT and OUTPUT are folders or
file:// URIs. Stopped (exit code 75) or killed, it goes on where it was when it is started again.
  --shard N       which shard (default $AWS_BATCH_JOB_ARRAY_INDEX, else 0)
  --model FOLDER  holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --help          this text
  --version       name and version
`;
const OPTIONS = { shard: { type: 'string' }, model: { type: 'string' } } as const;

function toPath(folder: string): string {
  if (folder.startsWith('file://')) return fileURLToPath(folder);
  if (/^\w+:\/\//.test(folder)) throw new UserError(`${folder}: only folders and file:// URIs can be read and written`);
  return folder;
}

async function main({ values, words: [input, output] }: CommandLine<typeof OPTIONS>): Promise<number> {
  if (input === undefined || output === undefined) throw new UserError(`INPUT and OUTPUT are needed.\n\n${HELP}`);
  const shard = Number(values.shard ?? process.env.AWS_BATCH_JOB_ARRAY_INDEX ?? 0);
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  process.once('SIGINT', () => stop.abort());
  const { manifest, encode, close } = await openTower({ model: values.model });
  const done = await encodeShard({
    input: toPath(input),
    output: toPath(output),
    shard,
    space_id: manifest.space_id,
    encode,
    signal: stop.signal,
    onProgress: (progress) => print({ event: 'progress', shard: bulkFiles(shard).input, ...progress }),
  });
  await close();
  if (done) print({ event: 'done', ...done });
  return done ? 0 : EXIT.interrupted;
}

function print(event: BulkEvent): void {
  console.log(JSON.stringify(event));
}

await runCommand({ help: HELP, options: OPTIONS, words: 2 }, main);
