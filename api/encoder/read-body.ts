// The body of a request to a server of this repository's own, which is bounded while it arrives.
import type { IncomingMessage } from 'node:http';

/** Throws `tooLarge(bytes so far)`; the connection stays, so that whoever asked reads the refusal. */
export async function readBody(
  request: IncomingMessage,
  most: number,
  tooLarge: (size: number) => Error,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw tooLarge(size);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
