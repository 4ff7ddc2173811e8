// Errors of the clients of AWS as sentences that say what to do, where there is something that a person can do.
import { codeOf } from '../../../contracts/src/user-error.ts';
import { RegistryError } from '../errors.ts';

/** Runs a call of a client; `what` names what was asked for. Errors that a user cannot fix stay what they are. */
export async function explained<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    const sentence = error instanceof Error ? sentenceFor(error, what) : undefined;
    throw sentence === undefined
      ? error
      : new RegistryError(sentence, { isTransient: isTransient(error), cause: error });
  }
}

/** Why S3 does not give out an object, by the name of its error; others in the same bucket may be read all the same. */
const KEPT_BACK: readonly [name: RegExp, why: string][] = [
  [/^AccessDenied$/, 'the store denies access to it'],
  [/^InvalidObjectState$/, 'it is archived: restore it first'],
  [/^KMS\./, 'the key that it is encrypted with cannot be used'],
];

/** Undefined where the store itself or the credentials are the reason, or nothing is known of it: no object is to blame then. */
export function whyKeptBack(error: unknown): string | undefined {
  const thrown = error instanceof RegistryError ? error.cause : error;
  return thrown instanceof Error ? KEPT_BACK.find(([name]) => name.test(thrown.name))?.[1] : undefined;
}

const OFFLINE = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EPIPE',
];

function sentenceFor(error: Error, what: string): string | undefined {
  const { name, message } = error;
  const code = codeOf(error) ?? '';
  if (message === 'Region is missing') return 'no AWS region is set: set AWS_REGION, or a region in the profile';
  if (name === 'CredentialsProviderError')
    return `no AWS credentials were found: set AWS_PROFILE, or sign in first (${message})`;
  if (/^(ExpiredToken|ExpiredTokenException|TokenRefreshRequired)$/.test(name))
    return `the AWS credentials have expired: sign in again (${message})`;
  if (/^(InvalidAccessKeyId|UnrecognizedClientException|SignatureDoesNotMatch)$/.test(name))
    return `AWS does not know these credentials: check AWS_PROFILE or the keys (${message})`;
  if (isUnreached(error))
    return `${what}: AWS cannot be reached (${message || code}): check the network and the region`;
  if (name === 'InvalidObjectState' || name.startsWith('KMS.')) return `${what}: ${whyKeptBack(error)} (${message})`;
  if (name === 'NoSuchBucket') return `${what}: there is no such bucket for these credentials`;
  if (/^(AccessDenied|AccessDeniedException|Forbidden|403)$/.test(name) || statusOf(error) === 403)
    return `${what}: access is denied (${message || name}): check whose credentials these are and what they may do`;
  if (name === 'ClientException') return `${what}: ${message}`;
  return undefined;
}

/** Whether the same call may succeed a moment later: there was no answer, or the service had no room or a fault of its own. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RegistryError) return error.isTransient;
  const status = statusOf(error) ?? 0;
  return status >= 500 || status === 429 || (error instanceof Error && isUnreached(error));
}

function isUnreached(error: Error): boolean {
  return error.name === 'TimeoutError' || OFFLINE.includes(codeOf(error) ?? '');
}

/** HTTP status of a service's answer; undefined where none came. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const { $metadata } = error;
  if (typeof $metadata !== 'object' || $metadata === null || !('httpStatusCode' in $metadata)) return undefined;
  return typeof $metadata.httpStatusCode === 'number' ? $metadata.httpStatusCode : undefined;
}

/** Answers of these statuses mean "no" and become undefined; a bucket or an upload that does not exist is never one of them. */
export function unlessStatus(...statuses: number[]): (error: unknown) => undefined {
  return function absent(error) {
    const status = statusOf(error);
    const isElsewhere = error instanceof Error && ['NoSuchBucket', 'NoSuchUpload'].includes(error.name);
    if (status !== undefined && statuses.includes(status) && !isElsewhere) return undefined;
    throw error;
  };
}
