// Items of a shard become vectors or errors, in their order: chunks of images and texts, and videos one by one.
import { BULK_LIMITS, type BulkJob } from '../../contracts/src/bulk/job.ts';
import { type BulkError, LINE_PARTS } from '../../contracts/src/bulk/lines.ts';
import type { Embedded } from '../core/embed.ts';
import { CoreError } from '../core/errors.ts';
import type { PlacedItem } from '../core/items/items.ts';
import { cutUnit } from '../core/vectors/vectors.ts';
import type { BulkItem, VideoFile } from './inputs/items.ts';
import type { BulkEncoder } from './model.ts';
import { packVector, type Row } from './outputs/part.ts';
import { encodeVideo } from './video/encode-video.ts';
import { MISSING, type VideoPrograms } from './video/program.ts';
import type { VideoPart } from './video/segments.ts';

export interface OutcomeWork {
  job: BulkJob;
  encoder: Omit<BulkEncoder, 'close'>;
  /** What reads videos; absent: nothing is looked for, and videos are refused. */
  programs?: VideoPrograms | undefined;
  /** Told of every frame of a video that is embedded. */
  onFrame?: (() => void) | undefined;
  /** Ends the video that is read. */
  signal?: AbortSignal | undefined;
}

export type Outcome = { row: Row; vector: Uint8Array } | BulkError;

/** Parts of a chunk's items, and bytes that are held for one: while a chunk is computed, the next one is read and decoded. */
const CHUNK = { parts: LINE_PARTS, bytes: 32 * 2 ** 20 };

/** Of a shard, whose vectors are held in memory. */
const MOST_ITEMS = BULK_LIMITS.shard_items + BULK_LIMITS.tar_items;

type Still = BulkItem & { content: Exclude<BulkItem['content'], VideoFile> };
type Video = BulkItem & { content: VideoFile };
type Numbered<T> = T & { item: number };

/** Of two chunks the later one is decoded while the earlier one runs through the model; they come out in order. */
export async function* outcomesOf(work: OutcomeWork, items: AsyncIterable<BulkItem>): AsyncGenerator<Outcome[]> {
  const running: Promise<Outcome[]>[] = [];
  let next = 0;
  for await (const chunk of chunksOf(items)) {
    if (next >= MOST_ITEMS) {
      for (const outcomes of running.splice(0)) yield await outcomes;
      const [first] = [chunk].flat();
      yield [failed({ item: next, custom_id: first?.custom_id ?? null }, tooMany())];
      return;
    }
    if (!Array.isArray(chunk)) {
      // How many items a video gives is known when it is embedded, and those behind it are numbered from there.
      for (const outcomes of running.splice(0)) yield await outcomes;
      const outcomes = await encodeVideoItem(work, { ...chunk, item: next });
      next += outcomes.length;
      yield outcomes;
      continue;
    }
    const first = next;
    next += chunk.length;
    const outcomes = encodeChunk(
      work,
      chunk.map((each, at) => ({ ...each, item: first + at })),
    );
    // A chunk that fails while another one is waited for is noticed when its turn comes.
    outcomes.catch(() => {});
    running.push(outcomes);
    if (running.length > 1) yield (await running.shift()) ?? [];
  }
  for (const outcomes of running) yield await outcomes;
}

/** Chunks of items, and videos each by itself. */
async function* chunksOf(items: AsyncIterable<BulkItem>): AsyncGenerator<Still[] | Video> {
  let chunk: Still[] = [];
  let [parts, bytes] = [0, 0];
  for await (const each of items) {
    if (isVideoItem(each)) {
      if (chunk.length > 0) yield chunk;
      [chunk, parts, bytes] = [[], 0, 0];
      yield each;
      continue;
    }
    const own = 'content' in each.content ? each.content.content.length : 1;
    if (parts > 0 && parts + own > CHUNK.parts) {
      yield chunk;
      [chunk, parts, bytes] = [[], 0, 0];
    }
    chunk.push(each as Still);
    parts += own;
    bytes += each.bytes;
    if (parts < CHUNK.parts && bytes < CHUNK.bytes) continue;
    yield chunk;
    [chunk, parts, bytes] = [[], 0, 0];
  }
  if (chunk.length > 0) yield chunk;
}

function isVideoItem(item: BulkItem): item is Video {
  return 'openVideo' in item.content;
}

function tooMany(): CoreError {
  const most = MOST_ITEMS.toLocaleString('en-US');
  const message = `the shard has more than ${most} items, segments of videos counted, and what follows was not embedded: cut its tar, or take longer segments.`;
  return new CoreError('too_many_items', message);
}

/** How vectors of the job are written. */
function vectorsOf({ output }: BulkJob) {
  if ('endpoint' in output) throw new Error('the job asks for answers');
  return output;
}

async function encodeChunk({ encoder, job }: OutcomeWork, chunk: Numbered<Still>[]): Promise<Outcome[]> {
  const { type, dimensions } = vectorsOf(job);
  const good = chunk.filter(({ content }) => !(content instanceof CoreError));
  const placed = good.map(({ item, content }) => {
    return { item: content, place: { item, param: `input.${item}` } } as PlacedItem;
  });
  const outcomes = placed.length === 0 ? [] : await encoder.embed(placed, { id: job.model.id, dimensions });
  const found = new Map(good.map((each, index) => [each, outcomes[index]]));
  return chunk.map((each): Outcome => {
    const { item, custom_id, content } = each;
    const outcome = content instanceof CoreError ? content : found.get(each);
    if (outcome === undefined) throw new Error(`item ${item} was not answered`);
    if (outcome instanceof CoreError) return failed(each, outcome);
    return {
      row: rowFor(item, custom_id ?? '', outcome),
      vector: packVector(outcome.embedding, type, encoder.quantisation),
    };
  });
}

function failed({ item, custom_id }: Pick<BulkError, 'item' | 'custom_id'>, { code, message }: CoreError): BulkError {
  return { item, custom_id, code, message };
}

/** Its segments in their order, then the whole of it. */
async function encodeVideoItem(work: OutcomeWork, video: Numbered<Video>): Promise<Outcome[]> {
  const { encoder, job, programs, signal } = work;
  const { type, dimensions } = vectorsOf(job);
  const { item, content } = video;
  const custom_id = video.custom_id ?? '';
  try {
    if (job.video === null) throw new Error('the job reads no videos');
    if (!programs) throw new CoreError('not_configured', MISSING);
    const options = { sampling: job.video, programs, embed: encoder.embedPictures, onFrame: work.onFrame, signal };
    const { segments, whole, width, height, warnings } = await encodeVideo(await content.openVideo(), options);
    const parts = [
      ...segments.map((part) => ({ part, name: nameOf(custom_id, part), noted: {} })),
      { part: whole, name: custom_id, noted: warnings.length > 0 ? { warnings } : {} },
    ];
    return parts.map(({ part: { span, vector }, name, noted }, at) => ({
      row: { item: item + at, custom_id: name, modality: 'video', width, height, video: span, ...noted },
      vector: packVector(cutUnit(vector, dimensions), type, encoder.quantisation),
    }));
  } catch (error) {
    if (!(error instanceof CoreError) || encoder.isOurs(error)) throw error;
    return [failed(video, error)];
  }
}

/** As a part of a medium is named in its address: W3C, Media Fragments URI 1.0, 4.2.1. */
function nameOf(custom_id: string, { span }: VideoPart): string {
  return `${custom_id}#t=${span.start_seconds},${span.end_seconds}`;
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
