// Images and videos of a WebDataset tar, one after the other: what is neither, or too large, is never held.
import { Readable } from 'node:stream';
import type { ReadableStream, ReadableWritablePair } from 'node:stream/web';
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar';
import type { ObjectBody } from '../../registry/store.ts';
import { isImageName, isVideoName } from '../service/inputs.ts';

export type TarMember = { name: string } & (
  | {
      /** Of an image: as many as were asked for at most; one byte more than is allowed tells that it is too large. */
      bytes: Uint8Array;
    }
  | {
      /** Read, if at all, before the next member is asked for. */
      video: ObjectBody;
    }
  | {
      /** Of a link, which has the name of an image or a video and no content: the member or file that it stands for. */
      linkTo: string;
    }
);

/** A file that has several names is stored once, and as a hard link under the others. */
const LINKS: readonly string[] = ['link', 'symlink'];

export interface TarReading {
  /** Bytes of an image. */
  most: number;
  /** Whether videos are members. */
  hasVideos: boolean;
}

/** Throws where the archive is cut off or damaged. */
export async function* membersOfTar(
  stream: AsyncIterable<Uint8Array>,
  { most, hasVideos }: TarReading,
): AsyncGenerator<TarMember> {
  const bytes = Readable.toWeb(Readable.from(stream)) as ReadableStream<Uint8Array>;
  const decoder = createTarDecoder({ strict: true }) as unknown as ReadableWritablePair<ParsedTarEntry, Uint8Array>;
  for await (const { header, body } of bytes.pipeThrough(decoder)) {
    const { name, size } = header;
    const content = body as unknown as ReadableStream<Uint8Array>;
    const { type = 'file' } = header;
    const isVideo = hasVideos && isVideoName(name);
    if (type === 'file' && isImageName(name)) yield { name, bytes: await readUpTo(content, most) };
    else {
      if (type === 'file' && isVideo) yield { name, video: { size, stream: () => content } };
      if (LINKS.includes(type) && (isVideo || isImageName(name))) yield { name, linkTo: header.linkname ?? '' };
      // Read and dropped: a member that is cancelled in the middle of a chunk may end the decoder without a word.
      await readUpTo(content, 0);
    }
  }
}

async function readUpTo(body: ReadableStream<Uint8Array>, most: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  // The rest is read and dropped, as the next member follows it.
  for await (const part of body) {
    if (size < most) parts.push(part.slice(0, most - size));
    size += part.byteLength;
  }
  return Buffer.concat(parts);
}
