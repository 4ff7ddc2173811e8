// Cuts a bulk job into shards before anything is computed: lines of a size that is cheap to do again, each shard's in a file.

import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { BULK_LIMITS, type BulkJob, type BulkPlan } from '../../../contracts/src/bulk/job.ts';
import { mostFrames } from '../../../contracts/src/bulk/video.ts';
import { addWork, noWork, workIn } from '../../../contracts/src/bulk/work.ts';
import {
  type BulkMachines,
  type BulkWork,
  chooseMachine,
  estimateBulk,
} from '../../../contracts/src/cloud/bulk-estimate.ts';
import { fieldOf, jsonIn } from '../../../contracts/src/json.ts';
import { bulkFiles, FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { tierOfId } from '../../core/model.ts';
import { encodeDocument, type ObjectStore } from '../../registry/store.ts';
import type { JobFolder } from './folder.ts';
import { isImageName, isVideoName, linesOfTars, splitUri } from './inputs.ts';
import { isBlank, joinLines, LINE_BYTES, linesOf, readLine } from './lines.ts';
import { budgetOf, excessOf, noteCharge, refusalOf } from './quota.ts';

export interface PlanOptions {
  /** What it may be encoded on, and is estimated for. */
  machines: BulkMachines;
  /** Opens a folder or prefix that an input is in. */
  open(place: string): Pick<ObjectStore, 'get' | 'list'>;
  /** Items of a shard (default and most: 1,024), and bytes of its lines (default: 64 MiB). */
  shardItems?: number | undefined;
  shardBytes?: number | undefined;
  /** Files of a prefix, and bytes of a file of lines, that are read to cut a job (default: all). */
  reads?: { files: number; bytes: number } | undefined;
  /** Told of every shard that is cut. */
  onShard?: ((shards: number) => void) | undefined;
}

type Opening = Pick<PlanOptions, 'open' | 'reads'>;
type Wanted = Pick<BulkJob, 'input' | 'output' | 'video'>;

interface Line {
  /** As its shard reads it, without its end. */
  bytes: Uint8Array;
  work: BulkWork;
  /** Whether it is a tar or a video, of which every image or segment is an item: how many there are is not known before it is read. */
  isOpen?: boolean;
  /** How much of a shard it fills, in items; absent: it is one. */
  fills?: number;
}

/** Files of a prefix that are not read; the videos are among them. */
interface Skipped {
  skipped: number;
  videos: number;
}

/** A job, cut into shards. */
export interface Cut extends Skipped {
  /** Of each shard; of tars and videos, what is in them is not known. */
  shards: BulkWork[];
  /** Of all of them. */
  work: BulkWork;
  items: number;
  /** Whether there are tars or videos. */
  isOpen: boolean;
}

const noCut = (): Cut => ({ shards: [], work: noWork(), items: 0, skipped: 0, videos: 0, isOpen: false });

/** Of so many files one is an image, or what they are is seen when all are listed. */
const FIRST_FILES = 1000;

/** Throws as the cutting does where there is nothing to do; reads no more than it takes to see that there is something. */
export async function requireWork(job: Wanted, { open }: Pick<PlanOptions, 'open'>): Promise<void> {
  const { input } = job;
  const cut = noCut();
  if ('prefix' in input && (await open(input.prefix).list('', { most: FIRST_FILES })).length === FIRST_FILES) return;
  for await (const _ of linesIn(job, { open }, cut)) return;
  throw nothingIn(job, cut);
}

/** Cuts a job, and has the lines of each shard written, where they are to be. Throws a UserError where there is nothing to do, or too much. */
export async function cutJob(
  job: Wanted,
  options: PlanOptions,
  write?: (shard: number, lines: Uint8Array[], cut: Cut) => Promise<void>,
): Promise<Cut> {
  const { shardItems: most = BULK_LIMITS.shard_items, shardBytes = BULK_LIMITS.shard_bytes } = options;
  const cut = noCut();
  for await (const lines of shardsOf(linesIn(job, options, cut), { most, shardBytes })) {
    const shard = cut.shards.length;
    if (shard === BULK_LIMITS.shards) throw tooMany(most);
    const work = noWork();
    for (const line of lines) addWork(work, line.work);
    cut.shards.push(work);
    addWork(cut.work, work);
    cut.items += lines.length;
    cut.isOpen ||= lines.some((line) => line.isOpen);
    await write?.(
      shard,
      lines.map(({ bytes }) => bytes),
      cut,
    );
    options.onShard?.(shard + 1);
  }
  if (cut.shards.length > 0) return cut;
  throw nothingIn(job, cut);
}

const nothingIn = (job: Wanted, cut: Cut) => new UserError(`${placeOf(job)} holds nothing to embed${beside(cut)}`);

/** What is said of a cut before anything is computed. */
export function forecast(
  { shards, work, items, skipped, isOpen }: Cut,
  { model, machine: asked }: Pick<BulkJob, 'model' | 'machine'>,
  machines: BulkMachines,
) {
  const cut = { shards: shards.length, tier: tierOfId(model.id) };
  const kind = chooseMachine(isOpen ? null : work, { ...cut, machines, asked });
  return {
    shards: cut.shards,
    items: isOpen ? null : items,
    skipped,
    machine: kind,
    estimate: isOpen ? null : estimateBulk(work, { ...cut, machine: machines[kind] ?? machines.cpu }),
  };
}

const encoder = new TextEncoder();
const LINE_END = encoder.encode('\n');

/** Throws a CoreError where a job asks for what its shards cannot be encoded on here. */
export function checkMachine(asked: BulkJob['machine'], machines: BulkMachines): void {
  if (asked === null || machines[asked] !== undefined) return;
  const message =
    'No machines with a GPU encode jobs here (setting bulk.gpu of a deployment): leave `machine` out, or ask for `cpu`.';
  throw new CoreError('not_configured', message, { param: 'machine' });
}

/** Written once: a job that has a plan keeps it. Throws as `cutJob` does, and a CoreError beyond the budget of the job. */
export async function planJob(folder: JobFolder, job: BulkJob, options: PlanOptions): Promise<BulkPlan> {
  const known = await folder.plan();
  if (known) return known;
  const budget = await budgetOf(folder);
  const cut = await cutJob(job, options, async (shard, lines, { work }) => {
    // Beyond the budget the rest is counted, so that the refusal says how much it is.
    if (budget && excessOf(budget, work)) return;
    await folder.put(bulkFiles(shard).lines, joinLines(lines.flatMap((line) => [line, LINE_END])));
  });
  const refusal = budget && refusalOf(budget, cut);
  if (refusal) throw refusal;
  // A job of a command is not charged.
  if (job.asked !== null) await noteCharge(folder, job.id, cut.shards);
  const plan: BulkPlan = {
    schema_version: SCHEMA_VERSION,
    job: job.id,
    ...forecast(cut, job, options.machines),
    at: new Date().toISOString(),
  };
  await folder.put(FILES.plan, encodeDocument(plan));
  return plan;
}

function beside({ skipped, videos }: Skipped): string {
  if (skipped === 0) return '';
  const such = videos > 0 ? `, ${videos} of them videos, which a job reads that has \`video\` (--video)` : '';
  return ` (${skipped} other files${such})`;
}

function tooMany(items: number): UserError {
  const [shards, most] = [BULK_LIMITS.shards, BULK_LIMITS.shards * items].map((count) => count.toLocaleString('en-US'));
  return new UserError(
    `the job would have more than ${shards} shards of at most ${items} items (${most} in all): cut its input into several jobs`,
  );
}

function placeOf({ input }: Wanted): string {
  if ('prefix' in input) return input.prefix;
  if ('parts' in input) return input.parts.join(', ');
  return 'jsonl' in input ? input.jsonl : input.tars.join(', ');
}

async function* linesIn(job: Wanted, options: Opening, counts: Skipped): AsyncGenerator<Line> {
  const { input } = job;
  if ('prefix' in input) {
    for (const key of await filesBelow(input.prefix, options)) {
      if (isImageName(key)) yield { bytes: bytesOf({ custom_id: key, path: key }), work: { images: 1, tokens: 0 } };
      else if (job.video && isVideoName(key)) yield toLine({ custom_id: key, video: key }, job);
      else {
        counts.skipped += 1;
        counts.videos += isVideoName(key) ? 1 : 0;
      }
    }
  } else if ('tars' in input) {
    for (const line of linesOfTars(input.tars)) yield toLine(line, job);
  } else {
    // A line of a batch is read in full where it is answered.
    const read = 'endpoint' in job.output ? jsonIn : readLine;
    yield* linesOfFiles('parts' in input ? input.parts : [input.jsonl], { ...options, read, job });
  }
}

async function filesBelow(prefix: string, { open, reads }: Opening): Promise<string[]> {
  const { files: most = Infinity } = reads ?? {};
  // What has the name of an image and cannot be opened is an error of its item, and not left out without a word.
  const page = { unreadable: true, ...(most === Infinity ? {} : { most: most + 1 }) } as const;
  const found = await open(prefix).list('', page);
  if (found.length <= most) return found.map(({ key }) => key);
  const message = `${prefix} holds more than ${most.toLocaleString('en-US')} files, which is more than is listed here`;
  throw new UserError(`${message}: ask for several jobs, of longer prefixes or of files of lines`);
}

function toLine(line: { custom_id: string } & ({ tar: string } | { video: string }), job: Wanted): Line {
  return { bytes: bytesOf(line), ...sizeOf(line, job) };
}

const bytesOf = (line: object): Uint8Array => encoder.encode(JSON.stringify(line));

/** A tar is a shard by itself; a video fills one by the frames that it may have, a request of a batch by its inputs. */
function sizeOf(line: unknown, { output, video }: Wanted): Omit<Line, 'bytes'> {
  if ('endpoint' in output) return { work: workIn(line), fills: inputsIn(line) };
  const names = typeof line === 'object' && line !== null ? Object.keys(line) : [];
  if (names.includes('tar')) return { work: noWork(), isOpen: true, fills: BULK_LIMITS.shard_items };
  // Without settings a video is refused: an item like any other.
  if (names.includes('video') && video) return { work: noWork(), isOpen: true, fills: mostFrames(video) };
  return { work: workIn(line) };
}

/** Each input of a request becomes a vector; one with more of them than a request may have is refused, which makes none. */
function inputsIn(request: unknown): number {
  const input = fieldOf(fieldOf(request, 'body'), 'input');
  return Array.isArray(input) && input.length <= LIMITS.items ? Math.max(1, input.length) : 1;
}

/** One after the other, as if they were one: a line may begin in one and end in the next. */
async function* bytesOfFiles(uris: string[], { open, reads }: Opening): AsyncGenerator<Uint8Array> {
  let { bytes: room = Infinity } = reads ?? {};
  for (const uri of uris) {
    const { place, name } = splitUri(uri);
    const file = await open(place).get(name);
    if (!file) throw new UserError(`there is no file ${uri}`);
    room -= file.size;
    if (room < 0) {
      file.close();
      const most = reads?.bytes.toLocaleString('en-US');
      throw new UserError(
        `${uri} goes beyond ${most} bytes, which are read here: cut it, or name images instead of holding them`,
      );
    }
    yield* file.stream();
  }
}

interface Reading extends Opening {
  read(text: string): unknown;
  job: Wanted;
}

async function* linesOfFiles(uris: string[], { read, job, ...options }: Reading): AsyncGenerator<Line> {
  for await (const text of linesOf(bytesOfFiles(uris, options), LINE_BYTES)) {
    if (isBlank(text)) continue;
    // What cannot be read is refused by the shard.
    if (typeof text !== 'string') {
      yield { bytes: text.bytes(), work: noWork() };
      continue;
    }
    const line = read(text);
    const bytes = encoder.encode(text);
    if (line instanceof CoreError) yield { bytes, work: noWork() };
    else yield { bytes, ...sizeOf(line, job) };
  }
}

async function* shardsOf(
  lines: AsyncIterable<Line>,
  { most, shardBytes }: { most: number; shardBytes: number },
): AsyncGenerator<Line[]> {
  let shard: Line[] = [];
  let [filled, bytes] = [0, 0];
  for await (const line of lines) {
    const fills = Math.min(line.fills ?? 1, most);
    const isFull = filled + fills > most || bytes + line.bytes.length > shardBytes;
    if (shard.length > 0 && isFull) {
      yield shard;
      [shard, filled, bytes] = [[], 0, 0];
    }
    shard.push(line);
    filled += fills;
    bytes += line.bytes.length;
  }
  if (shard.length > 0) yield shard;
}
