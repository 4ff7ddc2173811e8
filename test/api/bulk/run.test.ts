// Processes that die are started again as long as shards get finished by it, and no longer.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ProcessDied, runLanes } from '../../../api/bulk/run.ts';
import { BulkDone } from '../../../contracts/src/bulk/job.ts';
import { newFolder, runJob, writeImages } from './jobs.ts';

/** A host that tells of the marks that it finds, as the real one does at each start, and dies at the shard behind them. */
const DYING = `
import { appendFileSync, readFileSync } from 'node:fs';
const [, , uri] = process.argv;
const folder = uri.slice('file://'.length);
appendFileSync(folder + '/starts', '.');
process.stdout.write(readFileSync(folder + '/events', 'utf8'), () => process.kill(process.pid, 'SIGKILL'));
`;

test('a process that dies at the same shard again and again ends the job, also where shards before it are finished', async () => {
  const input = newFolder('in');
  await writeImages(input, 2);
  const { output, done } = await runJob({ input: { prefix: `file://${input}` } }, { shardItems: 1 });
  const [first] = done.map((mark) => BulkDone.parse(mark));
  const file = join(output, 'dying.mjs');
  writeFileSync(file, DYING);
  writeFileSync(join(output, 'events'), `${JSON.stringify({ event: 'done', ...first })}\n`);

  const running = runLanes([{ first: 0, every: 1 }], {
    uri: `file://${output}`,
    host: { file, words: [] },
    // What never ends would end the test with a failure.
    signal: AbortSignal.timeout(20_000),
    onEvent: () => {},
  });
  await expect(running).rejects.toThrow(ProcessDied);
  expect(readFileSync(join(output, 'starts'), 'utf8')).toBe('....');
}, 60_000);
