// Multipart uploads of a bucket on this machine, by the rules of S3, and by R2's that all parts but the last have one size.
import { createHash, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

const LEAST_BYTES = 5 * 2 ** 20;
const MOST_PARTS = 10_000;

export interface Fault {
  status: number;
  code: string;
  /** Absent: the code says it. */
  reason?: string;
}

interface Part {
  etag: string;
  bytes: Uint8Array;
}

interface Upload {
  key: string;
  metadata: Record<string, string>;
  parts: Map<number, Part>;
}

/** Uploads that have begun and neither ended nor were given up. */
export class Uploads {
  readonly #begun = new Map<string, Upload>();

  /** How many there are. */
  get size(): number {
    return this.#begun.size;
  }

  /** The id of the upload. */
  begin(key: string, headers: IncomingHttpHeaders): string {
    const id = randomUUID();
    this.#begun.set(id, { key, metadata: metadataIn(headers), parts: new Map() });
    return id;
  }

  /** The etag of the part; a part that came before under its number is replaced. */
  add(key: string, asked: URLSearchParams, bytes: Uint8Array): string | Fault {
    const upload = this.#find(key, asked);
    const number = Number(asked.get('partNumber'));
    if (upload === undefined) return NO_UPLOAD;
    if (!Number.isInteger(number) || number < 1 || number > MOST_PARTS) return { status: 400, code: 'InvalidArgument' };
    const etag = createHash('md5').update(bytes).digest('hex');
    upload.parts.set(number, { etag, bytes });
    return etag;
  }

  /** What the parts of a document `CompleteMultipartUpload` are together; the upload goes on until `end`. */
  join(
    key: string,
    asked: URLSearchParams,
    document: string,
  ): { bytes: Uint8Array; metadata: Upload['metadata'] } | Fault {
    const upload = this.#find(key, asked);
    if (upload === undefined) return NO_UPLOAD;
    const named = [...document.matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = '']) => ({
      number: Number(/<PartNumber>(\d+)</.exec(part)?.[1]),
      etag: /<ETag>(?:&quot;|")?([0-9a-f]+)/.exec(part)?.[1],
    }));
    if (named.length === 0) return { status: 400, code: 'MalformedXML' };
    if (named.some(({ number }, at) => number <= (named[at - 1]?.number ?? 0)))
      return { status: 400, code: 'InvalidPartOrder' };
    const parts = named.map(({ number, etag }) => {
      const part = upload.parts.get(number);
      return part?.etag === etag ? part : undefined;
    });
    if (parts.includes(undefined)) return { status: 400, code: 'InvalidPart' };
    const bytes = parts.flatMap((part) => (part === undefined ? [] : [part.bytes]));
    const sizes = bytes.map(({ byteLength }) => byteLength);
    const [first = 0, last = 0] = [sizes[0], sizes.pop()];
    if (sizes.some((size) => size < LEAST_BYTES)) return { status: 400, code: 'EntityTooSmall' };
    if (sizes.some((size) => size !== first) || last > first)
      return { status: 400, code: 'InvalidPart', reason: 'All non-trailing parts must have the same length.' };
    return { bytes: new Uint8Array(Buffer.concat(bytes)), metadata: upload.metadata };
  }

  /** Whether there was one. */
  end(key: string, asked: URLSearchParams): boolean {
    return this.#find(key, asked) !== undefined && this.#begun.delete(asked.get('uploadId') ?? '');
  }

  #find(key: string, asked: URLSearchParams): Upload | undefined {
    const upload = this.#begun.get(asked.get('uploadId') ?? '');
    return upload?.key === key ? upload : undefined;
  }
}

export const NO_UPLOAD: Fault = { status: 404, code: 'NoSuchUpload' };

/** What a writer says of its object besides, by the whole name of the header. */
function metadataIn(headers: IncomingHttpHeaders): Record<string, string> {
  const own = Object.entries(headers).filter(([name]) => name.startsWith('x-amz-meta-'));
  return Object.fromEntries(own.map(([name, value]) => [name, String(value)]));
}
