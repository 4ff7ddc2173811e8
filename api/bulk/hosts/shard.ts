// Encodes shards of a bulk job, all or every Nth, as a child of an array job of AWS Batch or as a process of this machine.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { whenOrphaned } from '../../../contracts/command/lifetime.ts';
import { wholeNumberOf } from '../../../contracts/command/numbers.ts';
import type { BulkJob } from '../../../contracts/src/bulk/job.ts';
import { PROCESS_MIB } from '../../../contracts/src/cloud/bulk-estimate.ts';
import type { BulkEvent } from '../../../contracts/src/events.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { isTransient } from '../../registry/stores/aws-errors.ts';
import { openSources } from '../places.ts';
import { inWords, type Lane, lanesOf, ProcessDied, runLanes } from '../run.ts';
import type { JobFolder } from '../service/folder.ts';
import { tellOfEnd } from '../service/webhook.ts';
import { encodeShard } from '../shard.ts';
import {
  folderOf,
  isOnProcessors,
  memoryBytes,
  modelWords,
  openEncoder,
  openFolder,
  placeOptions,
  videoPrograms,
  webhookHosts,
} from './open.ts';
import { sendOutside } from './send.ts';

const HELP = `Usage: node api/bulk/hosts/shard.ts JOB [--shard N | --lane K/OF] [--model FOLDER] [--registry URI] [--workers N] [--threads N]

JOB is the folder of a planned job (npm run encode -- --plan …): a path, file://, s3:// or r2:// URI. Each shard leaves its
files of vectors, errors-NNNN.jsonl, and part-NNNN.done.json last. Shards that are finished are not done again; one that
was stopped (exit code 75) or killed begins anew and leaves the same bytes.
  --shard N       that shard only
  --lane K/OF     the shards K, K + OF, K + 2 OF, … (default all; in an array job $AWS_BATCH_JOB_ARRAY_INDEX/$AWS_BATCH_JOB_ARRAY_SIZE)
  --model FOLDER  holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --registry URI  where a published model is read from (default $MODEL_REGISTRY)
  --workers N     processes, each with every Nth of its shards (default 1 with --lane, --shard or a GPU, else one a core, as far
                  as there are shards, and ${PROCESS_MIB} MiB of memory for each)
  --threads N     cores that one run of the image tower may use, or of a video's decoder (default 1 with --lane, else its share of all)
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
  workers: { type: 'string' },
  threads: { type: 'string' },
} as const;

type Values = CommandLine<typeof OPTIONS>['values'];

/** Between two lines of progress. */
const PROGRESS_MS = 500;

function laneOf(lane: string | undefined): Lane {
  // Batch tells every child how many there are: however many were submitted, together they do all shards.
  const { AWS_BATCH_JOB_ARRAY_INDEX: child = '0', AWS_BATCH_JOB_ARRAY_SIZE: children = '1' } = process.env;
  const part = lane ?? `${child}/${children}`;
  const [, first, every] = /^(\d+)\/(\d+)$/.exec(part)?.map(Number) ?? [];
  if (first === undefined || every === undefined || first >= every) {
    throw new UserError(`--lane ${part}: write K/OF, K from 0 to OF - 1`);
  }
  return { first, every };
}

function shardsOf(shards: number, { shard, lane }: Pick<Values, 'shard' | 'lane'>): number[] {
  const all = Array.from({ length: shards }, (_, index) => index);
  if (shard !== undefined) {
    const wanted = all.filter((each) => String(each) === shard);
    if (wanted.length === 0) throw new UserError(`--shard ${shard}: the job has the shards 0 to ${shards - 1}`);
    return wanted;
  }
  const { first, every } = laneOf(lane);
  return all.filter((each) => each % every === first);
}

/** How many processes share the cores: cores that wait for each other's part of one run encode less than cores with a run each. */
function shareOfCores(shards: number, { shard, lane, workers, threads }: Values): { workers: number; threads: number } {
  const cores = availableParallelism();
  const asked = wholeNumberOf('--workers', workers, { from: 1 });
  const isAlone = shard !== undefined || lane !== undefined || !isOnProcessors();
  const most = asked ?? (isAlone ? 1 : Math.min(cores, Math.floor(memoryBytes() / 2 ** 20 / PROCESS_MIB)));
  const processes = Math.max(1, Math.min(most, shards));
  const share = lane === undefined ? Math.max(1, Math.floor(cores / processes)) : 1;
  return { workers: processes, threads: wholeNumberOf('--threads', threads, { from: 1 }) ?? share };
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
  const share = shareOfCores(shards.length, values);
  const work: Work = { folder, job, shards, values, signal: stop.signal, threads: share.threads };
  const isDone = share.workers > 1 ? await encodeBeside(work, share.workers) : await encodeHere(work);
  if (!isDone) return codeOfStop(work);
  // In an array job the child that finishes last tells of the end: nothing else of the job runs then.
  if (values.lane === undefined && (await folder.countDone()) >= plan.shards)
    await tellOfEnd(folder, { send: sendOutside, hosts: webhookHosts() });
  return EXIT.ok;
}

interface Work {
  folder: JobFolder;
  job: BulkJob;
  shards: number[];
  values: Values;
  signal: AbortSignal;
  threads: number;
}

/** False where it was stopped. */
async function encodeHere(work: Work): Promise<boolean> {
  const { folder, job, shards, values, signal, threads } = work;
  const sources = openSources(job, placeOptions());
  const encoder = await openEncoder(await folderOf(job, values), threads);
  try {
    for (const shard of shards) {
      if (signal.aborted || (await endOf(work)) !== undefined) return false;
      const programs = videoPrograms(threads);
      const onProgress = progressPrinter(shard);
      const done = await encodeShard({ folder, job, shard, encoder, sources, programs, signal, onProgress });
      if (!done) return false;
      print({ event: 'done', ...done });
    }
    return true;
  } finally {
    await encoder.close();
  }
}

/** In several processes of this program; one that dies is started again alone. False where they were stopped. */
async function encodeBeside(work: Work, workers: number): Promise<boolean> {
  const { folder, job, values, signal, threads } = work;
  if ((await endOf(work)) !== undefined) return false;
  // Read once, before each of them asks for it.
  await folderOf(job, values);
  const host = { file: fileURLToPath(import.meta.url), words: [...modelWords(values), '--threads', `${threads}`] };
  const onDeath = ({ first, every }: Lane, code: number | NodeJS.Signals, said: string): void =>
    console.error(
      `The process of the shards ${first}/${every} ended with ${code} and is started again. ${said}`.trim(),
    );
  return runLanes(lanesOf(laneOf(values.lane), workers), { uri: folder.uri, host, signal, onEvent: print, onDeath });
}

/** A child is told to stop when its job is cancelled and when its machine is reclaimed alike: the job itself says which it was. */
async function codeOfStop(work: Work): Promise<number> {
  const end = await endOf(work);
  if (end === undefined) return EXIT.interrupted;
  console.error(end);
  return EXIT.refused;
}

/** Why the job is not wanted any more, cancelled or expired; undefined where it is wanted. Another attempt would find the same. */
async function endOf({ job: { id, expires_at }, folder }: Pick<Work, 'job' | 'folder'>): Promise<string | undefined> {
  const stop = await folder.stopped();
  if (stop) return `${id} is ${stop.status}: ${stop.message}`;
  return expires_at !== null && Date.parse(expires_at) < Date.now() ? `${id} expired at ${expires_at}` : undefined;
}

/** Another attempt may find the store there again. */
async function mainOrAgain(line: CommandLine<typeof OPTIONS>): Promise<number> {
  try {
    return await main(line);
  } catch (error) {
    const isAgain = error instanceof ProcessDied ? error.code === EXIT.interrupted : isTransient(error);
    if (!isAgain) throw error;
    console.error(`${reasonOf(error)}; the same shard can be done again`);
    return EXIT.interrupted;
  }
}

function progressPrinter(shard: number) {
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

await runCommand({ help: HELP, options: OPTIONS, words: 1 }, inWords(mainOrAgain));
