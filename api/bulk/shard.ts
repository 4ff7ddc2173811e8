// One shard of a bulk job: its lines in, its vectors and its errors out, and the mark that it is finished at the very end.
import { BULK_LIMITS, type BulkDone, type BulkJob } from '../../contracts/src/bulk/job.ts';
import type { BulkError } from '../../contracts/src/bulk/lines.ts';
import { bulkFiles } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { Embedded } from '../core/embed.ts';
import { CoreError } from '../core/errors.ts';
import type { PlacedItem } from '../core/items/items.ts';
import { encodeDocument } from '../registry/store.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import { answersOf, type BatchAnswer } from './answers.ts';
import { type BulkItem, itemsOf } from './inputs/items.ts';
import type { BulkEncoder } from './model.ts';
import { writeFormats } from './outputs/formats.ts';
import { packVector, type Row } from './outputs/part.ts';
import type { Sources } from './places.ts';
import type { JobFolder } from './service/folder.ts';
import { encodeLines } from './service/lines.ts';

export interface ShardWork {
  folder: JobFolder;
  job: BulkJob;
  shard: number;
  encoder: Omit<BulkEncoder, 'close'>;
  sources: Sources;
  onProgress?: ((progress: { items: number; seconds: number }) => void) | undefined;
  /** Checked between chunks: of an aborted shard nothing is left. */
  signal?: AbortSignal | undefined;
}

/** Items of a chunk, and bytes that are held for one: while a chunk is computed, the next one is read and decoded. */
const CHUNK = { items: 32, bytes: 32 * 2 ** 20 };

interface Numbered extends BulkItem {
  item: number;
}
type Outcome = { row: Row; vector: Uint8Array } | BulkError;

/**
 * Files are written whole, and the mark last: a shard that was stopped, or killed, is done again from its beginning and
 * leaves the same bytes. Undefined where it was stopped. A shard that is finished is not done again.
 */
export async function encodeShard(work: ShardWork): Promise<BulkDone | undefined> {
  const { folder, job, shard, encoder } = work;
  const files = bulkFiles(shard);
  const finished = await folder.done(shard);
  if (finished?.job === job.id && finished.space_id === job.model.space_id) return finished;
  if (encoder.manifest.space_id !== job.model.space_id) {
    const has = `this model's space is ${encoder.manifest.space_id}`;
    throw new UserError(`the job ${job.id} is for ${job.model.space_id}, ${has}: run it with the model that it names`);
  }
  const lines = await folder.get(files.lines);
  if (!lines) throw new UserError(`there is no shard at ${folder.uri}/${files.lines}`);

  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const note = (items: number): boolean => {
    work.onProgress?.({ items, seconds: seconds() });
    return !work.signal?.aborted;
  };
  const make = 'endpoint' in job.output ? makeAnswers : makeVectors;
  const made = await make(work, lines.stream(), note);
  if (!made) return undefined;
  const artefacts: Artefact[] = [];
  for (const [path, bytes] of made.files) {
    await folder.put(path, bytes);
    artefacts.push({ path, digest: sha256Of(bytes), size: bytes.length });
  }
  const { succeeded, failed } = made;
  const done: BulkDone = {
    schema_version: SCHEMA_VERSION,
    job: job.id,
    shard,
    space_id: job.model.space_id,
    items: succeeded + failed,
    succeeded,
    failed,
    seconds: seconds(),
    at: new Date().toISOString(),
    files: artefacts,
  };
  await folder.put(files.done, encodeDocument(done));
  return done;
}

/** What a shard leaves before its mark. */
interface Made {
  files: [string, Uint8Array][];
  succeeded: number;
  failed: number;
}
/** Told how many items are done; answers whether to go on. */
type Note = (items: number) => boolean;

async function makeVectors(work: ShardWork, lines: AsyncIterable<Uint8Array>, note: Note): Promise<Made | undefined> {
  const { job, shard } = work;
  if ('endpoint' in job.output) throw new Error('the job asks for answers');
  const rows: Row[] = [];
  const vectors: Uint8Array[] = [];
  const errors: BulkError[] = [];
  for await (const outcomes of outcomesOf(work, itemsOf(lines, work.sources))) {
    for (const outcome of outcomes) {
      if ('vector' in outcome) {
        rows.push(outcome.row);
        vectors.push(outcome.vector);
      } else errors.push(outcome);
    }
    if (!note(rows.length + errors.length)) return undefined;
  }
  const { type, dimensions, formats } = job.output;
  const part = { model: job.model, type, dimensions, rows, matrix: Buffer.concat(vectors) };
  const files = [...writeFormats(part, shard, formats), errorFile(shard, errors)];
  return { files, succeeded: rows.length, failed: errors.length };
}

async function makeAnswers(work: ShardWork, lines: AsyncIterable<Uint8Array>, note: Note): Promise<Made | undefined> {
  const answers: BatchAnswer[] = [];
  const errors: BatchAnswer[] = [];
  for await (const answer of answersOf(lines, work)) {
    (answer.error ? errors : answers).push(answer);
    if (!note(answers.length + errors.length)) return undefined;
  }
  const files: Made['files'] = [
    [bulkFiles(work.shard).part('jsonl'), encodeLines(answers)],
    errorFile(work.shard, errors),
  ];
  return { files, succeeded: answers.length, failed: errors.length };
}

function errorFile(shard: number, errors: object[]): [string, Uint8Array] {
  return [bulkFiles(shard).errors, encodeLines(errors)];
}

/** Of two chunks the later one is decoded while the earlier one runs through the model; they come out in order. */
async function* outcomesOf(work: ShardWork, items: AsyncIterable<BulkItem>): AsyncGenerator<Outcome[]> {
  const running: Promise<Outcome[]>[] = [];
  for await (const chunk of chunksOf(items)) {
    const outcomes = encodeChunk(work, chunk);
    // A chunk that fails while another one is waited for is noticed when its turn comes.
    outcomes.catch(() => {});
    running.push(outcomes);
    if (running.length > 1) yield (await running.shift()) ?? [];
  }
  for (const outcomes of running) yield await outcomes;
}

async function* chunksOf(items: AsyncIterable<BulkItem>): AsyncGenerator<Numbered[]> {
  let chunk: Numbered[] = [];
  let [item, bytes] = [0, 0];
  for await (const each of items) {
    if (item >= BULK_LIMITS.shard_items + BULK_LIMITS.tar_items) throw tooMany();
    chunk.push({ ...each, item });
    item += 1;
    bytes += each.bytes;
    if (chunk.length < CHUNK.items && bytes < CHUNK.bytes) continue;
    yield chunk;
    [chunk, bytes] = [[], 0];
  }
  if (chunk.length > 0) yield chunk;
}

function tooMany(): UserError {
  return new UserError('the shard holds more items than are planned into one: plan the job again');
}

async function encodeChunk({ encoder, job }: ShardWork, chunk: Numbered[]): Promise<Outcome[]> {
  if ('endpoint' in job.output) throw new Error('the job asks for answers');
  const { id } = job.model;
  const { type, dimensions } = job.output;
  const good = chunk.filter(({ content }) => !(content instanceof CoreError));
  const placed = good.map(({ item, content }) => {
    return { item: content, place: { item, param: `input.${item}` } } as PlacedItem;
  });
  const outcomes = placed.length === 0 ? [] : await encoder.embed(placed, { id, dimensions });
  const found = new Map(good.map((each, index) => [each, outcomes[index]]));
  return chunk.map((each): Outcome => {
    const { item, custom_id, content } = each;
    const outcome = content instanceof CoreError ? content : found.get(each);
    if (outcome === undefined) throw new Error(`item ${item} was not answered`);
    if (outcome instanceof CoreError) return { item, custom_id, code: outcome.code, message: outcome.message };
    return {
      row: rowFor(item, custom_id ?? '', outcome),
      vector: packVector(outcome.embedding, type, encoder.quantisation),
    };
  });
}

function rowFor(item: number, custom_id: string, { modality, picture, truncation }: Embedded): Row {
  const warnings = picture?.warnings ?? [];
  return {
    item,
    custom_id,
    modality,
    ...(picture ? { width: picture.width, height: picture.height } : {}),
    ...(truncation?.truncated ? { truncated: true } : {}),
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}
