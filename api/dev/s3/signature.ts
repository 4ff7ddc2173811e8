// Whether a request is signed with the keys that the local bucket was given, in its headers or in its address (Signature Version 4).
import type { IncomingMessage } from 'node:http';
import { AwsV4Signer } from 'aws4fetch';

export interface BucketKeys {
  accessKeyId: string;
  secretAccessKey: string;
  region: string;
}

/** Signs what arrived once more and compares; what the signature does not cover is not looked at. */
export async function isSigned(request: IncomingMessage, { region, ...keys }: BucketKeys): Promise<boolean> {
  const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
  const query = Object.fromEntries(url.searchParams);
  const inAddress = query['X-Amz-Signature'];
  const authorization = request.headers.authorization ?? '';
  const datetime = inAddress === undefined ? String(request.headers['x-amz-date']) : (query['X-Amz-Date'] ?? '');
  const names =
    inAddress === undefined ? /SignedHeaders=([^,]+)/.exec(authorization)?.[1] : query['X-Amz-SignedHeaders'];
  const began = timeOf(datetime);
  const seconds = inAddress === undefined ? SKEW_SECONDS : Number(query['X-Amz-Expires']);
  if (names === undefined || began === undefined || Date.now() > began + seconds * 1000) return false;
  const headers = Object.fromEntries(names.split(';').map((name) => [name, String(request.headers[name] ?? '')]));
  for (const name of ['X-Amz-Signature', 'X-Amz-Algorithm', 'X-Amz-Credential', 'X-Amz-SignedHeaders', 'X-Amz-Date'])
    url.searchParams.delete(name);
  const signed = await new AwsV4Signer({
    ...keys,
    method: request.method ?? 'GET',
    url: url.href,
    headers,
    service: 's3',
    region,
    datetime,
    signQuery: inAddress !== undefined,
    allHeaders: true,
  }).sign();
  return inAddress === undefined
    ? signed.headers.get('authorization') === authorization.replaceAll(/, */g, ', ')
    : signed.url.searchParams.get('X-Amz-Signature') === inAddress;
}

/** How old a signature in headers may be, as at AWS. */
const SKEW_SECONDS = 900;

/** `20261127T150000Z` in milliseconds. */
function timeOf(datetime: string): number | undefined {
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(datetime) ?? [];
  return y === undefined ? undefined : Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
}
