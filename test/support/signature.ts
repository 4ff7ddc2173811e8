// Whether a request carries the signature that AWS would accept: computed once more, by AWS's own implementation.
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { SignatureV4 } from '@smithy/signature-v4';

type Data = string | ArrayBuffer | ArrayBufferView;

/** The reference implementation's hash, as it wants to be given it. */
export class Sha256 {
  readonly #hash: Hash | Hmac;
  constructor(secret?: Data) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }
  update(data: Data): void {
    this.#hash.update(bytesOf(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}

function bytesOf(data: Data): string | Uint8Array {
  if (typeof data === 'string') return data;
  return data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export interface Signer {
  service: 'lambda' | 's3' | 'batch';
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string };
}

/** Also whether the body is the one whose digest was signed, where one was. */
export async function isRightlySigned(
  request: IncomingMessage,
  body: Buffer,
  { service, region, credentials }: Signer,
): Promise<boolean> {
  const authorization = request.headers.authorization ?? '';
  const names = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? [];
  const date = String(request.headers['x-amz-date']);
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date) ?? [];
  const headers = Object.fromEntries(names.map((name) => [name, String(request.headers[name])]));
  const { 'x-amz-date': _, ...given } = headers;
  const signed = headers['x-amz-content-sha256'];
  if (/^[0-9a-f]{64}$/.test(signed ?? '') && createHash('sha256').update(body).digest('hex') !== signed) return false;
  const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
  const signer = new SignatureV4({
    service,
    region,
    credentials,
    sha256: Sha256,
    applyChecksum: signed !== undefined,
    // S3 signs a path as it is sent, everything else one that is escaped once more.
    uriEscapePath: service !== 's3',
  });
  const again = await signer.sign(
    {
      method: request.method ?? '',
      protocol: 'https:',
      hostname: 'x',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: given,
      body,
    },
    { signingDate: new Date(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`), signableHeaders: new Set(names) },
  );
  return again.headers.authorization === authorization.replaceAll(/, */g, ', ');
}
