// Images of a WebDataset tar, one after the other: what is no image, or too large, is never held.
import { Readable } from 'node:stream';
import type { ReadableStream, ReadableWritablePair } from 'node:stream/web';
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar';
import { isImageName } from '../service/inputs.ts';

export interface TarMember {
  name: string;
  /** As many as were asked for at most: one byte more than is allowed tells that it is too large. */
  bytes: Uint8Array;
}

/** Throws where the archive is cut off or damaged. */
export async function* imagesInTar(stream: AsyncIterable<Uint8Array>, most: number): AsyncGenerator<TarMember> {
  const bytes = Readable.toWeb(Readable.from(stream)) as ReadableStream<Uint8Array>;
  const decoder = createTarDecoder({ strict: true }) as unknown as ReadableWritablePair<ParsedTarEntry, Uint8Array>;
  for await (const { header, body } of bytes.pipeThrough(decoder)) {
    if ((header.type ?? 'file') === 'file' && isImageName(header.name)) {
      yield { name: header.name, bytes: await readUpTo(body as unknown as ReadableStream<Uint8Array>, most) };
    } else await body.cancel();
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
