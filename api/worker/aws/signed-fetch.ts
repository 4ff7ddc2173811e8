// Calls to AWS that carry Signature Version 4: to an image encoder behind IAM, to a bucket, and to Batch.
import { AwsClient } from 'aws4fetch';

export interface AwsKeys {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary credentials. */
  sessionToken?: string | undefined;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface Signing {
  service: 'lambda' | 's3' | 'batch';
  /** Where the service is; a function URL names it itself. */
  region?: string | undefined;
}

/** `fetch` with a signature of the keys of that moment. Nothing is tried again here: the caller has one deadline for everything. */
export function createSignedFetch(keys: () => Promise<AwsKeys>, { service, region }: Signing): Fetch {
  let last: { keys: AwsKeys; client: AwsClient } | undefined;
  return async function signedFetch(url, init) {
    const current = await keys();
    // The client keeps the keys that it derives for a day and a region.
    if (last?.keys !== current) last = { keys: current, client: new AwsClient({ ...current, service, retries: 0 }) };
    const aws = { region: region ?? regionOf(url), service, allHeaders: true };
    // Signed first and then sent as one object: a body that was read for its digest is not read again.
    const request = await last.client.sign(url, { ...init, aws });
    // Node.js forgets the signal of a request at the next garbage collection, and the call has no end; the one of the call it keeps.
    return fetch(request, init.signal ? { signal: init.signal } : {});
  };
}

export interface BucketOptions {
  /** `s3://bucket` */
  uri: string;
  region: string;
  /** Where the bucket is not AWS's own. */
  endpoint?: string | undefined;
  keys: () => Promise<AwsKeys>;
}

/** Signed calls to a bucket, and its address without a slash at the end. */
export function openSignedBucket({ uri, region, endpoint, keys }: BucketOptions): { root: string; signed: Fetch } {
  const bucket = uri.replace(/^s3:\/\//, '');
  const root = endpoint === undefined ? `https://${bucket}.s3.${region}.amazonaws.com` : `${endpoint}/${bucket}`;
  return { root, signed: createSignedFetch(keys, { service: 's3', region }) };
}

/** `https://<id>.lambda-url.<region>.on.aws` names its region. */
export function regionOf(url: string): string {
  return /\.lambda-url\.([a-z0-9-]+)\.on\.aws$/.exec(URL.parse(url)?.hostname ?? '')?.[1] ?? 'us-east-1';
}
