// A download: all of a content, a range of it, or the word that its reader has it already (RFC 9110, sections 13 and 14).
import { type Download, isNamed } from '../../../../contracts/src/api/download.ts';
import { CoreError, shortened } from '../../../core/errors.ts';
import type { ByteRange } from '../../../registry/store.ts';
import type { Content } from './content.ts';

/** Headers of the request; null: it has none. */
export interface Conditions {
  range: string | null;
  ifRange: string | null;
  ifNoneMatch: string | null;
}

/** Throws a CoreError where the range begins behind the end, or the content is not kept any more. */
export async function download(content: Content, { range, ifRange, ifNoneMatch }: Conditions): Promise<Download> {
  const { etag, size } = content;
  if (ifNoneMatch !== null && isNamed(etag, ifNoneMatch)) return { etag, size };
  // Of another content, or of a date, which nothing here has, the rest would not fit to what its reader has.
  const isSame = ifRange === null || ifRange.trim() === etag;
  const asked = range === null || !isSame ? undefined : rangeIn(range, size);
  const stream = await begun(content.stream(asked ?? { from: 0, to: size }));
  return { etag, size, ...(asked ? { range: asked } : {}), stream };
}

/** Undefined: it is passed over, as several ranges at a time are, which nothing here writes. */
function rangeIn(text: string, size: number): ByteRange | undefined {
  // White space is taken off afterwards: where several places of the expression may have it, they are tried in all ways.
  const [, before = '', behind = ''] = /^bytes\s*=([^-]*)-([^-]*)$/i.exec(text.trim()) ?? [];
  const [first, last] = [before.trim(), behind.trim()];
  if ((first === '' && last === '') || !/^\d*$/.test(first) || !/^\d*$/.test(last)) return undefined;
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  const from = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const to = first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (from < to) return { from, to };
  const message = `The file has ${size} bytes, and ${shortened(text.trim())} is none of them: ask for bytes=0- to have all.`;
  throw new CoreError('range_not_satisfiable', message, { size });
}

/** With its first bytes read, so that what cannot be read is an error, and not a download that breaks off. */
async function begun(stream: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const iterator = stream[Symbol.asyncIterator]();
  let first: Promise<IteratorResult<Uint8Array>> | undefined = Promise.resolve(await iterator.next());
  return {
    [Symbol.asyncIterator]: () => ({
      next() {
        const next = first ?? iterator.next();
        first = undefined;
        return next;
      },
      // It has begun, so that this closes what it reads.
      return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
    }),
  };
}
