// Encodes every so manieth shard of a bulk job, as a child of an array job of AWS Batch or as a process of this machine.
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { whenOrphaned } from '../../../contracts/command/lifetime.ts';
import { wholeNumberOf } from '../../../contracts/command/numbers.ts';
import type { BulkJob } from '../../../contracts/src/bulk/job.ts';
import type { BulkEvent } from '../../../contracts/src/events.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { isTransient } from '../../registry/stores/aws-errors.ts';
import { openSources } from '../places.ts';
import type { JobFolder } from '../service/folder.ts';
import { tellOfEnd } from '../service/webhook.ts';
import { encodeShard } from '../shard.ts';
import { folderOf, openEncoder, openFolder, placeOptions, videoPrograms } from './open.ts';

const HELP = `Usage: node api/bulk/hosts/shard.ts JOB [--shard N | --lane K/OF] [--model FOLDER] [--registry URI] [--threads N]

JOB is the folder of a planned job (npm run encode -- --plan …): a path, file://, s3:// or r2:// URI. Each shard leaves its
files of vectors, errors-NNNN.jsonl, and part-NNNN.done.json last. Shards that are finished are not done again; one that
was stopped (exit code 75) or killed begins anew and leaves the same bytes.
  --shard N       that shard only
  --lane K/OF     the shards K, K + OF, K + 2 OF, … (default all; in an array job $AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ARRAY_SIZE)
  --model FOLDER  holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --registry URI  where a published model is read from (default $MODEL_REGISTRY)
  --threads N     cores that one run of the image tower may use, or of a video's decoder (default 1 with --lane, else all)
  --help          this text
  --version       name and version

Exit codes: 0 done, 65 the job was cancelled or has expired, 75 stopped, or the store did not answer: the same command again goes
on; anything else fails again.
R2 is opened by R2_ENDPOINT, R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY, S3 as AWS's own programs do.
`;
const OPTIONS = {
  shard: { type: 'string' },
  lane: { type: 'string' },
  model: { type: 'string' },
  registry: { type: 'string' },
  threads: { type: 'string' },
} as const;

/** Between two lines of progress. */
const PROGRESS_MS = 500;

function shardsOf(
  shards: number,
  { shard, lane }: { shard?: string | undefined; lane?: string | undefined },
): number[] {
  const all = Array.from({ length: shards }, (_, index) => index);
  if (shard !== undefined) {
    const wanted = all.filter((each) => String(each) === shard);
    if (wanted.length === 0) throw new UserError(`--shard ${shard}: the job has the shards 0 to ${shards - 1}`);
    return wanted;
  }
  // Batch tells every child how many there are: however many were submitted, together they do all shards.
  const { AWS_BATCH_JOB_ARRAY_INDEX: child = '0', AWS_BATCH_JOB_ARRAY_SIZE: children = '1' } = process.env;
  const part = lane ?? `${child}/${children}`;
  const [, first, every] = /^(\d+)\/(\d+)$/.exec(part)?.map(Number) ?? [];
  if (first === undefined || every === undefined || first >= every) {
    throw new UserError(`--lane ${part}: write K/OF, K from 0 to OF - 1`);
  }
  return all.filter((each) => each % every === first);
}

async function main({ values, words: [place] }: CommandLine<typeof OPTIONS>): Promise<number> {
  if (place === undefined) throw new UserError(`JOB is needed.\n\n${HELP}`);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  const folder = openFolder(place);
  const [job, plan] = [await folder.job(), await folder.plan()];
  if (!job || !plan)
    throw new UserError(`there is no planned job at ${folder.uri}: npm run encode -- --plan makes one`);
  const shards = shardsOf(plan.shards, values);
  // A child whose parent was killed must not go on beside the one that is started in its place.
  if (values.lane !== undefined) whenOrphaned(() => process.exit(EXIT.failed));
  const threads =
    wholeNumberOf('--threads', values.threads, { from: 1 }) ?? (values.lane === undefined ? undefined : 1);
  const sources = openSources(job, placeOptions());
  const encoder = await openEncoder(await folderOf(job, values), threads);
  // Whoever cancels a job has its children told to stop, as a machine does that is reclaimed: the job itself says which it was.
  const stopCode = async (): Promise<number | undefined> => {
    const end = await endOf(job, folder);
    if (end === undefined) return stop.signal.aborted ? EXIT.interrupted : undefined;
    console.error(end);
    return EXIT.refused;
  };
  try {
    for (const shard of shards) {
      const code = await stopCode();
      if (code !== undefined) return code;
      const done = await encodeShard({
        folder,
        job,
        shard,
        encoder,
        sources,
        programs: videoPrograms(threads),
        signal: stop.signal,
        onProgress: everySoOften(shard),
      });
      if (!done) return (await stopCode()) ?? EXIT.interrupted;
      print({ event: 'done', ...done });
    }
    // Of an array job, whichever child is the last: nothing else runs then that could tell.
    if (values.lane === undefined && (await folder.countDone()) >= plan.shards)
      await tellOfEnd(folder, { send: fetch });
    return EXIT.ok;
  } finally {
    await encoder.close();
  }
}

/** Why nothing of the job is wanted any more, by whoever cancelled it or by time; undefined where it is. Another attempt would meet it again. */
async function endOf({ id, expires_at }: BulkJob, folder: JobFolder): Promise<string | undefined> {
  const stop = await folder.stopped();
  if (stop) return `${id} is ${stop.status}: ${stop.message}`;
  return expires_at !== null && Date.parse(expires_at) < Date.now() ? `${id} expired at ${expires_at}` : undefined;
}

/** Of an array job's child another attempt may find the store there again; processes of this machine are started again by whoever runs them. */
async function mainOrAgain(line: CommandLine<typeof OPTIONS>): Promise<number> {
  try {
    return await main(line);
  } catch (error) {
    if (line.values.lane !== undefined || !isTransient(error)) throw error;
    console.error(`${reasonOf(error)}; the same shard can be done again`);
    return EXIT.interrupted;
  }
}

function everySoOften(shard: number) {
  let last = 0;
  return (progress: { items: number; frames: number; seconds: number }): void => {
    if (performance.now() - last < PROGRESS_MS) return;
    last = performance.now();
    print({ event: 'progress', shard, ...progress });
  };
}

function print(event: BulkEvent): void {
  console.log(JSON.stringify(event));
}

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, mainOrAgain);
