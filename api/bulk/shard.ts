// One shard of a bulk job: its lines in, its vectors and its errors out, and the mark that it is finished at the very end.
import type { BulkDone } from '../../contracts/src/bulk/job.ts';
import type { BulkError } from '../../contracts/src/bulk/lines.ts';
import { bulkFiles } from '../../contracts/src/keys.ts';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { encodeDocument } from '../registry/store.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import { answersOf, type BatchAnswer } from './answers.ts';
import { itemsOf } from './inputs/items.ts';
import { type OutcomeWork, outcomesOf } from './outcomes.ts';
import { writeFormats } from './outputs/formats.ts';
import type { Row } from './outputs/part.ts';
import type { Sources } from './places.ts';
import type { JobFolder } from './service/folder.ts';
import { encodeLine, encodeLines, joinLines } from './service/lines.ts';

export interface ShardWork extends Omit<OutcomeWork, 'onFrame'> {
  folder: JobFolder;
  shard: number;
  sources: Sources;
  /** `frames`: of videos, told of each. */
  onProgress?: ((progress: { items: number; frames: number; seconds: number }) => void) | undefined;
  /** Checked between chunks and while a video is read: of an aborted shard nothing is left. */
  signal?: AbortSignal | undefined;
}

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
  const counts = { items: 0, frames: 0 };
  const tell = (): void => work.onProgress?.({ ...counts, seconds: seconds() });
  const note = (items: number): boolean => {
    counts.items = items;
    tell();
    return !work.signal?.aborted;
  };
  const onFrame = (): void => {
    counts.frames += 1;
    tell();
  };
  const make = 'endpoint' in job.output ? makeAnswers : makeVectors;
  const made = await make({ ...work, onFrame }, lines.stream(), note).catch((error: unknown) => {
    // Work that the stop cut off has not failed.
    if (work.signal?.aborted) return undefined;
    throw error;
  });
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

async function makeVectors(
  work: ShardWork & OutcomeWork,
  lines: AsyncIterable<Uint8Array>,
  note: Note,
): Promise<Made | undefined> {
  const { job, shard } = work;
  if ('endpoint' in job.output) throw new Error('the job asks for answers');
  const rows: Row[] = [];
  const vectors: Uint8Array[] = [];
  const errors: BulkError[] = [];
  const items = itemsOf(lines, { sources: work.sources, hasVideos: job.video !== null });
  for await (const outcomes of outcomesOf(work, items)) {
    for (const outcome of outcomes) {
      if ('vector' in outcome) {
        rows.push(outcome.row);
        vectors.push(outcome.vector);
      } else errors.push(outcome);
    }
    if (!note(rows.length + errors.length)) return undefined;
  }
  const { type, dimensions, formats } = job.output;
  const hasVideos = job.video !== null;
  const part = { model: job.model, type, dimensions, hasVideos, rows, matrix: Buffer.concat(vectors) };
  const files = [...writeFormats(part, shard, formats), errorFile(shard, errors)];
  return { files, succeeded: rows.length, failed: errors.length };
}

async function makeAnswers(work: ShardWork, lines: AsyncIterable<Uint8Array>, note: Note): Promise<Made | undefined> {
  // In the form of the file at once: as arrays of numbers an answer would take more memory than its line.
  const answers: Uint8Array[] = [];
  const errors: BatchAnswer[] = [];
  for await (const answer of answersOf(lines, work)) {
    if (answer.error) errors.push(answer);
    else answers.push(encodeLine(answer));
    if (!note(answers.length + errors.length)) return undefined;
  }
  const files: Made['files'] = [
    [bulkFiles(work.shard).part('jsonl'), joinLines(answers)],
    errorFile(work.shard, errors),
  ];
  return { files, succeeded: answers.length, failed: errors.length };
}

function errorFile(shard: number, errors: object[]): [string, Uint8Array] {
  return [bulkFiles(shard).errors, encodeLines(errors)];
}
