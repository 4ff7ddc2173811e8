// Items of a shard in the order of its lines, with what they hold: texts, and images and videos from wherever the lines say.

import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { BULK_LIMITS } from '../../../contracts/src/bulk/job.ts';
import type { BulkLine } from '../../../contracts/src/bulk/lines.ts';
import { codeOf, ON_DISK, reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import type { ImagePart, Part, TextPart } from '../../core/items/items.ts';
import type { ObjectBody, StoredObject } from '../../registry/store.ts';
import { whyKeptBack } from '../../registry/stores/aws-errors.ts';
import type { Sources } from '../places.ts';
import { isBlank, LINE_BYTES, linesOf, nameOf, readLine, type UnreadLine } from '../service/lines.ts';
import { membersOfTar, type TarMember } from './tar.ts';

/** To be read, or closed. */
export type OpenVideo = Pick<StoredObject, 'size' | 'path' | 'stream' | 'close'>;

/** Opened when its turn comes, which those before it may put off for hours; one in a tar is read before the next item is asked for. */
export interface VideoFile {
  /** Throws a CoreError where it may not be read or is not there. */
  openVideo(): Promise<OpenVideo>;
}

export interface BulkItem {
  /** Null where the line could not be read. */
  custom_id: string | null;
  content: TextPart | ImagePart | { content: Part[] } | VideoFile | CoreError;
  /** Held in memory for it. */
  bytes: number;
}

/** What a person's rights forbid, which a rerun does not change. */
const DENIED: ReadonlySet<string> = new Set(['EACCES', 'EPERM']);
/** Files that are fetched at a time: each may be as large as an image may be. */
const FETCHES = 8;

export interface ItemSources {
  sources: Sources;
  /** Whether the job reads videos: without, those in tars are passed over, and lines that name one are refused. */
  hasVideos: boolean;
}

/** An item that cannot be read is one that holds an error; an error that is not its own, such as of a store that is down, is thrown. */
export async function* itemsOf(lines: AsyncIterable<Uint8Array>, from: ItemSources): AsyncGenerator<BulkItem> {
  const waiting: Promise<BulkItem | BulkItem[]>[] = [];
  for await (const text of linesOf(lines, LINE_BYTES)) {
    if (isBlank(text)) continue;
    const line = readLine(text);
    if (!(line instanceof CoreError) && 'tar' in line) {
      for (const each of waiting.splice(0)) yield* flat(await each);
      yield* itemsOfTar(line, from);
      continue;
    }
    waiting.push(fetchItem(line instanceof CoreError ? { wrong: line, text } : line, from));
    // An item that fails for another reason is noticed when its turn comes.
    waiting.at(-1)?.catch(() => {});
    if (waiting.length > FETCHES) yield* flat(await (waiting.shift() ?? []));
  }
  for (const each of waiting) yield* flat(await each);
}

function* flat(items: BulkItem | BulkItem[]): Generator<BulkItem> {
  yield* [items].flat();
}

interface WrongLine {
  wrong: CoreError;
  text: string | UnreadLine;
}

async function fetchItem(
  line: Exclude<BulkLine, { tar: string }> | WrongLine,
  { sources, hasVideos }: ItemSources,
): Promise<BulkItem> {
  if ('wrong' in line) return { custom_id: nameOf(line.text), content: line.wrong, bytes: 0 };
  const { custom_id } = line;
  if ('text' in line) return { custom_id, content: { text: line.text }, bytes: line.text.length };
  if ('image' in line) return { custom_id, content: { image: line.image }, bytes: line.image.length };
  if ('content' in line) {
    const bytes = line.content.reduce((sum, part) => sum + ('text' in part ? part.text : part.image).length, 0);
    return { custom_id, content: { content: line.content }, bytes };
  }
  if ('video' in line) return { custom_id, content: hasVideos ? videoAt(line.video, sources) : notAsked(), bytes: 0 };
  try {
    const image = await readUpTo(await sources.find('path' in line ? line.path : line.uri), LIMITS.image_bytes + 1);
    return { custom_id, content: { image }, bytes: image.length };
  } catch (error) {
    return { custom_id, content: ofItem(error), bytes: 0 };
  }
}

function videoAt(name: string, sources: Sources): VideoFile {
  const refuse = (error: unknown): never => {
    throw ofItem(error);
  };
  return { openVideo: () => sources.find(name).catch(refuse) };
}

function notAsked(): CoreError {
  const message = 'the job reads no videos: ask for one that does, with `video` (npm run encode -- --video).';
  return new CoreError('invalid_request', message);
}

/** What ends one item and not its shard: a mistake in the line, and a file that this user may not read. Throws anything else. */
function ofItem(error: unknown): CoreError {
  if (error instanceof CoreError) return error;
  const code = codeOf(error) ?? '';
  // The words of S3 name account and role, which are not for whoever sent the job.
  const why = DENIED.has(code) ? `${ON_DISK[code]} (${code})` : whyKeptBack(error);
  if (why === undefined) throw error;
  return new CoreError('not_found', `the file cannot be read: ${why}.`);
}

/** One byte more than allowed tells that a file is too large; the rest of it is not read. */
async function readUpTo(object: StoredObject, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of object.stream()) {
    parts.push(part.subarray(0, most - size));
    size += part.byteLength;
    if (size >= most) break;
  }
  return Buffer.concat(parts);
}

async function* itemsOfTar(
  { custom_id, tar }: { custom_id: string; tar: string },
  { sources, hasVideos }: ItemSources,
): AsyncGenerator<BulkItem> {
  let archive: StoredObject;
  try {
    archive = await sources.find(tar);
  } catch (error) {
    yield { custom_id, content: ofItem(error), bytes: 0 };
    return;
  }
  const members = membersOfTar(archive.stream(), { most: LIMITS.image_bytes + 1, hasVideos });
  try {
    for (let count = 0; ; count++) {
      const next = await members.next().catch((error: unknown) => damaged(tar, error));
      if (next instanceof CoreError) yield { custom_id, content: next, bytes: 0 };
      if (next instanceof CoreError || next.done) return;
      if (count < BULK_LIMITS.tar_items) yield itemOf(next.value, { custom_id, tar });
      else return yield { custom_id, content: tooMany(), bytes: 0 };
    }
  } finally {
    // What is not read of it is not left open either.
    await members.return(undefined);
  }
}

function itemOf(member: TarMember, { custom_id, tar }: { custom_id: string; tar: string }): BulkItem {
  const named = { custom_id: `${custom_id}/${member.name}` };
  if ('bytes' in member) return { ...named, content: { image: member.bytes }, bytes: member.bytes.length };
  if ('linkTo' in member) return { ...named, content: isLink(member.linkTo), bytes: 0 };
  const video = inTar(member.video, tar);
  return { ...named, content: { openVideo: async () => video }, bytes: 0 };
}

function tooMany(): CoreError {
  const message = `the tar holds more than ${BULK_LIMITS.tar_items.toLocaleString('en-US')} images and videos, of which the others were not embedded: cut it.`;
  return new CoreError('too_many_items', message);
}

function isLink(to: string): CoreError {
  const message = `it is a link to ${to}, and has no content in the tar: pack with --dereference and --hard-dereference.`;
  return new CoreError('not_found', message);
}

/** Damage of the tar that shows while a video is read is the video's, too. */
function inTar({ size, stream }: ObjectBody, tar: string): OpenVideo {
  async function* read(): AsyncGenerator<Uint8Array> {
    try {
      yield* stream();
    } catch (error) {
      throw damaged(tar, error);
    }
  }
  // The archive goes on behind it, read or not.
  return { size, stream: read, close() {} };
}

/** A tar that ends early keeps the items that came before. */
function damaged(tar: string, error: unknown): CoreError {
  // Of the file system or the network, and not of the archive: a rerun may succeed, unless it is not allowed.
  if (/^E[A-Z]+$/.test(codeOf(error) ?? '')) return ofItem(error);
  const reason = reasonOf(error).replace(/\.$/, '');
  return new CoreError('broken_image', `${tar} is cut off or damaged from here on: ${reason}.`);
}
