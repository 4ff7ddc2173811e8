// `npm run encode`: embeds any number of images, texts and videos, from wherever they are, into files of vectors.
import { existsSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { resolve } from 'node:path';
import { type CommandLine, runCommand } from '../../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../../contracts/command/numbers.ts';
import { usersFolder } from '../../../contracts/command/users-folder.ts';
import {
  type BulkEstimate,
  BulkFormat,
  type BulkInput,
  type BulkJob,
  type BulkPlan,
  BulkType,
} from '../../../contracts/src/bulk/job.ts';
import {
  type BulkShards,
  estimateBulk,
  estimateVideo,
  machinesFor,
  ownMachine,
  SHARD,
  SHARD_MACHINE,
} from '../../../contracts/src/cloud/bulk-estimate.ts';
import { PRICE_TABLE } from '../../../contracts/src/cloud/prices.ts';
import type { BulkEvent } from '../../../contracts/src/events.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { tierOfId } from '../../core/model.ts';
import { fromFileUri } from '../../registry/stores/file-uri.ts';
import { inWords, runShards } from '../run.ts';
import { COMMAND, idOf, jobOf } from '../service/ask.ts';
import { type JobFolder, totalsOf } from '../service/folder.ts';
import { planJob, requireWork } from '../service/plan.ts';
import { hasPrograms, MISSING } from '../video/program.ts';
import { currentModel, openFolder, openUri, shardHost, toUri, videoPrograms } from './open.ts';
import { lineOfProgress, timeOf } from './progress.ts';
import { VIDEO_HELP, VIDEO_OPTIONS, videoOf } from './video-options.ts';

const HELP = `Usage: npm run encode -- INPUT… OUTPUT [options]

INPUT is a folder or prefix of images, one file of JSON lines, or WebDataset tars; OUTPUT is a folder or prefix. Both may
be paths, s3:// or r2:// URIs. A line is {"custom_id", …} with one of "text", "image" (base64), "path" (beside the lines),
"uri", "tar" and, with --video, "video". The work is cut into shards; each leaves its files and then a mark. Stopped
(Ctrl-C) or killed, the same command goes on, and leaves the same bytes. An item that cannot be embedded is a line of
errors-NNNN.jsonl.
  --format LIST     of jsonl, npy, safetensors, parquet (default jsonl)
  --type TYPE       float32 (default), int8 or binary: one bit a number, eight in a byte
  --dimensions N    numbers of a vector (default all of the model's)
  --id ID           model of the texts, as GET /v1/models lists them (default the first)
  --source URI      a place that lines may name by "uri", beside the input's own folder; may be given again
${VIDEO_HELP}  --workers N       processes (default one per core)
  --shard-items N   items of a shard, which are done again after a kill (default and most 1024)
  --model FOLDER    holds manifest.json and what it names (default $CLIP_MODEL, else api/model)
  --registry URI    embeds with the current model of that registry (default $MODEL_REGISTRY)
  --plan            cuts the work into shards, says what they take (time here, hours and dollars on AWS), and stops there
  --json            every event as a JSON line
  --help            this text
  --version         name and version

Exit codes: 0 done, 1 failed, 2 refused, 75 stopped.
`;
const OPTIONS = {
  format: { type: 'string', default: 'jsonl' },
  type: { type: 'string', default: 'float32' },
  dimensions: { type: 'string' },
  id: { type: 'string' },
  source: { type: 'string', multiple: true, default: [] as string[] },
  ...VIDEO_OPTIONS,
  workers: { type: 'string' },
  'shard-items': { type: 'string' },
  model: { type: 'string' },
  registry: { type: 'string' },
  plan: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;
type Line = CommandLine<typeof OPTIONS>;

/** An operating system takes no more words than this. */
const MOST_WORDS = 100_000;

function inputOf(words: string[]): BulkInput {
  const uris = words.map(toUri);
  const [first = ''] = uris;
  const other = words.find((word, index) => isFile(uris[index] ?? '') && !/\.(tar|jsonl|ndjson)$/.test(word));
  if (other !== undefined)
    throw new UserError(
      `${other}: give the folder of images, JSON lines (.jsonl, .ndjson) or tars (.tar), not another file`,
    );
  if (uris.every((uri) => uri.endsWith('.tar'))) return { tars: uris };
  if (uris.length > 1)
    throw new UserError('several inputs have to be tars: give one folder, one file of lines, or tars');
  return /\.(jsonl|ndjson)$/.test(first) ? { jsonl: first } : { prefix: first };
}

/** On this machine. */
const isFile = (uri: string): boolean => statSync(fromFileUri(uri) ?? '', { throwIfNoEntry: false })?.isFile() ?? false;

function oneOf<T extends string>(name: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found === undefined) throw new UserError(`--${name} ${value}: one of ${choices.join(', ')}`);
  return found;
}

/** The job that is there already where it is the same. A new one with nothing to do would keep the folder from every other. */
async function begin(folder: JobFolder, job: BulkJob): Promise<BulkJob> {
  if (!(await folder.job())) {
    await requireWork(job, { open: openUri });
    // Its marks would be taken for those of this job.
    if ((await folder.countDone()) > 0)
      throw new UserError(`${folder.uri} holds what another job left, without its job.json: choose another folder`);
  }
  if (await folder.begin(job)) return job;
  const before = await folder.job();
  if (before !== undefined && [job.id, await idOf(job)].includes(before.id)) return before;
  throw new UserError(
    `${folder.uri} holds another job (${before?.id}): its input, options or model differ. Choose another folder`,
  );
}

async function ask({ values }: Line, words: string[]): Promise<BulkJob> {
  try {
    const asked = {
      input: inputOf(words),
      sources: (values.source ?? []).map(toUri),
      formats: values.format.split(',').map((format) => oneOf('format', format, BulkFormat.options)),
      type: oneOf('type', values.type, BulkType.options),
      dimensions: wholeNumberOf('--dimensions', values.dimensions, { from: 1 }),
      model: values.id,
      video: videoOf(values),
    };
    const current = await currentModel(values);
    const job = jobOf(asked, current, { ...COMMAND, id: '', created_at: new Date().toISOString() });
    return { ...job, id: await idOf(job, current.digest === null ? current.manifest : undefined) };
  } catch (error) {
    throw error instanceof CoreError ? new UserError(error.message) : error;
  }
}

async function main(line: Line): Promise<number> {
  const { values } = line;
  const [output, ...inputs] = line.words.toReversed();
  if (output === undefined || inputs.length === 0) throw new UserError(`INPUT and OUTPUT are needed.\n\n${HELP}`);
  const began = Date.now();
  // Before anything is written: a folder that holds a job takes no other.
  const absent = inputs.find((input) => !existsSync(fromFileUri(toUri(input)) ?? '/'));
  if (absent !== undefined) throw new UserError(`there is no ${absent} (looked for ${resolve(absent)})`);
  const shardItems = wholeNumberOf('--shard-items', values['shard-items'], { from: 1, to: 1024 });
  const workers = wholeNumberOf('--workers', values.workers, { from: 1 }) ?? availableParallelism();
  const folder = openFolder(output);
  const asked = await ask(line, inputs.toReversed());
  // What is only planned here may run where it is installed.
  if (asked.video && !values.plan && !(await hasPrograms(videoPrograms().path))) throw new UserError(MISSING);
  const job = await begin(folder, asked);
  const tell = values.json ? print : printForPeople();
  const plan = await planJob(folder, job, { open: openUri, shardItems, machines: { cpu: ownMachine(workers) } });
  // Before the first line is printed: a program that reads it may stop the job at once.
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  if (values.json) print(plannedEvent(plan, job, workers));
  else for (const sentence of sentencesOf(plan, { job, workers, uri: folder.uri })) console.log(sentence);
  if (!values.json && Date.parse(plan.at) < began)
    console.log(`planned at ${plan.at}: what came to the input since is not in it; another folder takes it`);
  if (values.plan) return EXIT.ok;

  const isDone = await runShards(folder, plan, {
    workers,
    host: shardHost(values),
    signal: stop.signal,
    onProgress: tell,
  });
  if (!isDone) {
    console.error('Stopped; the same command goes on with what is missing.');
    return EXIT.interrupted;
  }
  const { succeeded, failed } = totalsOf(await folder.allDone());
  if (!values.json)
    console.log(`\n${succeeded} vectors of ${job.model.id} ${job.model.version}, ${failed} errors, in ${folder.uri}`);
  return EXIT.ok;
}

/** The same shards as an array job of AWS Batch: its number of children, and what it takes; null with tars and videos, whose items are not counted. */
function onAws({ estimate, shards }: BulkPlan, id: string): { estimate: BulkEstimate | null; children: number } {
  const cut: BulkShards = { shards, tier: tierOfId(id), machine: SHARD_MACHINE };
  return { estimate: estimate && estimateBulk(estimate, cut), children: machinesFor(estimate, cut) };
}

function plannedEvent(plan: BulkPlan, { model, video: sampling }: BulkJob, workers: number): BulkEvent {
  const { job, shards, items, skipped, estimate } = plan;
  const { estimate: estimate_on_aws, children: children_on_aws } = onAws(plan, model.id);
  return {
    event: 'planned',
    job,
    shards,
    items,
    skipped,
    estimate,
    estimate_on_aws,
    children_on_aws,
    child_on_aws: { processes: SHARD.vcpus, memory_mib: SHARD.memory_mib },
    video: sampling && estimateVideo(sampling, ownMachine(workers)),
    video_on_aws: sampling && estimateVideo(sampling, SHARD_MACHINE),
  };
}

function sentencesOf(plan: BulkPlan, { job, workers, uri }: { job: BulkJob; workers: number; uri: string }): string[] {
  const { estimate, items, shards } = plan;
  const others = plan.skipped > 0 ? `; ${plan.skipped} other files there are left out` : '';
  const what = `${items === null ? 'tars or videos' : `${items} items`} in ${shards} ${shards === 1 ? 'shard' : 'shards'}, into ${uri}${others}`;
  const { estimate: aws, children } = onAws(plan, job.model.id);
  const dollars = (usd: number | null) =>
    `$${centsOf(usd ?? 0)} on demand (${PRICE_TABLE.region}, ${PRICE_TABLE.date})`;
  const time = (hours: number) => timeOf(hours * 3600);
  if (estimate && aws) {
    const array = `an array job of ${children} ${children === 1 ? 'child' : 'children'}`;
    const child = `${SHARD.vcpus} processes in ${SHARD.memory_mib / 1024} GiB`;
    return [
      what,
      `about ${time(estimate.hours)} on ${workers} cores here; on AWS ${time(aws.hours)} of machines, as ${array} of ${child}, ${dollars(aws.usd)}`,
    ];
  }
  if (!job.video) return [what];
  const [here, there] = [estimateVideo(job.video, ownMachine(workers)), estimateVideo(job.video, SHARD_MACHINE)];
  return [
    what,
    `an hour of video of 640 x 480 pixels takes about ${time(here.hours)} on ${workers} cores here, and one video at most ${time(here.most_hours)}; ` +
      `on AWS ${time(there.hours)} of machines, ${dollars(there.usd)}`,
  ];
}

/** Two digits of what is less than a cent. */
const centsOf = (usd: number): string => (usd > 0 && usd < 0.01 ? usd.toPrecision(2) : usd.toFixed(2));

function print(event: BulkEvent): void {
  console.log(JSON.stringify(event));
}

function printForPeople() {
  const tell = lineOfProgress();
  return (event: Extract<BulkEvent, { event: 'job' }>): void => {
    const { items, items_done, items_failed, frames_running, shards, shards_done, seconds_left } = event;
    const left = seconds_left === null ? '' : `, ${timeOf(seconds_left)} left`;
    const of = items === null ? '' : ` of ${items}`;
    const frames = frames_running > 0 ? ` (${frames_running} frames of videos)` : '';
    const text = `${items_done}${of} items, ${items_failed} errors, ${shards_done} of ${shards} shards${frames}${left}`;
    tell(text, shards_done === shards);
  };
}

process.chdir(usersFolder());
await runCommand({ help: HELP, options: OPTIONS, words: MOST_WORDS }, inWords(main));
