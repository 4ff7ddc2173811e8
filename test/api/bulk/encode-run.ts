// `npm run encode` as a user runs it, with one process: what it leaves and says, and the memory that it takes. Reads /proc: Linux.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { BulkError, BulkResult } from '../../../contracts/src/bulk/lines.ts';
import { shardProcesses } from '../../support/shard-processes.ts';
import { errorsIn, newFolder, resultsIn } from './jobs.ts';

const ENCODE = join(import.meta.dirname, '../../../api/bulk/hosts/encode.ts');

export interface EncodeRun {
  code: number | null;
  /** Its errors. */
  said: string;
  /** By name; none where it did not end well. */
  results: Map<string, BulkResult>;
  errors: Map<string, BulkError>;
  /** Lines of both kinds, also of names that are there twice. */
  lines: number;
  /** Resident set of the process that encodes, at most. */
  peakBytes: number;
}

/** Into a new folder. */
export async function runEncode(input: string, words: string[], env = process.env): Promise<EncodeRun> {
  const output = newFolder('out');
  const child = spawn(process.execPath, [ENCODE, input, output, '--workers', '1', '--json', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env,
  });
  let [said, peakBytes] = ['', 0];
  child.stderr.on('data', (text) => {
    said += text;
  });
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, ...shardProcesses(output).map((each) => each.peakBytes));
  }, 20);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(watch);
  const [results, errors] = code === 0 ? [resultsIn(output), errorsIn(output)] : [[], []];
  return {
    code,
    said,
    results: new Map(results.map((result) => [result.custom_id, result])),
    errors: new Map(errors.map((error) => [error.custom_id ?? '', error])),
    lines: results.length + errors.length,
    peakBytes,
  };
}
