// Calls to an image encoder behind IAM: a Lambda function URL takes requests that carry Signature Version 4.
import { AwsClient } from 'aws4fetch';

export interface AwsKeys {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary credentials. */
  sessionToken?: string | undefined;
}

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * `fetch` with a signature for the service `lambda`. `region`: where the function is; a function URL names it itself.
 * Nothing is tried again here: the caller has one deadline for everything.
 */
export function createSignedFetch({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys, region?: string): Fetch {
  const client = new AwsClient({ accessKeyId, secretAccessKey, sessionToken, service: 'lambda', retries: 0 });
  return async function signedFetch(url, init) {
    const aws = { region: region ?? regionOf(url), service: 'lambda', allHeaders: true };
    // Signed first and then sent as one object: a body that was read for its digest is not read again.
    return fetch(await client.sign(url, { ...init, aws }));
  };
}

/** `https://<id>.lambda-url.<region>.on.aws` names its region. */
function regionOf(url: string): string {
  return /\.lambda-url\.([a-z0-9-]+)\.on\.aws$/.exec(new URL(url).hostname)?.[1] ?? 'us-east-1';
}
