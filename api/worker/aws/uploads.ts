// The bucket of uploads: files that are too large for a call to the image encoder, and those that clients put there themselves.
import { AwsV4Signer } from 'aws4fetch';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { UPLOAD_SCHEME, type UploadRequest, type UploadResponse } from '../../../contracts/src/api/tasks/upload.ts';
import { hexOf, uploadKey } from '../../../contracts/src/keys.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { type BucketOptions, openSignedBucket } from './signed-fetch.ts';

export interface Uploads {
  /** Puts a file under its digest, so that the same file is stored once. */
  put(digest: string, file: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Undefined where no such file was put. */
  read(digest: string): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** An address to which that file and no other can be put, for a quarter of an hour. */
  presign(file: UploadRequest): Promise<UploadResponse>;
}

/** How long an address to put a file to is good. */
const SECONDS = 900;
/** For a file of 8 MiB at most. */
const READ_MS = 15_000;

/** `readMs`: after that a file that is read is given up. */
export function openUploads({ readMs = READ_MS, ...options }: BucketOptions & { readMs?: number }): Uploads {
  const { uri, region, keys } = options;
  const { root, signed: send } = openSignedBucket(options);
  const urlOf = (digest: string) => `${root}/${uploadKey(digest)}`;
  return {
    async put(digest, file, signal) {
      // S3 compares what arrives with the signed digest, and keeps nothing else.
      const headers = { 'x-amz-content-sha256': hexOf(digest) };
      // The type would also allow shared memory, which files of requests never are.
      const body = file as Uint8Array<ArrayBuffer>;
      const response = await send(urlOf(digest), { method: 'PUT', headers, body, signal });
      await response.body?.cancel();
      if (!response.ok) throw failed(response);
    },
    async read(digest) {
      try {
        const response = await send(urlOf(digest), { method: 'GET', signal: AbortSignal.timeout(readMs) });
        const size = Number(response.headers.get('content-length'));
        if (!response.ok || size > LIMITS.image_bytes) await response.body?.cancel();
        if (response.status === 404) return undefined;
        if (!response.ok) throw failed(response);
        // Nothing larger was ever let in.
        if (size > LIMITS.image_bytes) return undefined;
        return new Uint8Array(await response.arrayBuffer());
      } catch (error) {
        throw error instanceof CoreError ? error : unreachable(reasonOf(error));
      }
    },
    async presign({ digest, bytes }) {
      const headers = { 'x-amz-checksum-sha256': btoa(String.fromCharCode(...bytesOfHex(hexOf(digest)))) };
      const signer = new AwsV4Signer({
        ...(await keys()),
        method: 'PUT',
        url: `${urlOf(digest)}?X-Amz-Expires=${SECONDS}`,
        // Signed with the length, so that nothing of another size is taken; every client sends it by itself.
        headers: { ...headers, 'content-length': String(bytes) },
        service: 's3',
        region,
        signQuery: true,
        allHeaders: true,
      });
      const { url } = await signer.sign();
      return {
        object: 'upload',
        image: `${UPLOAD_SCHEME}${digest}`,
        uri: `${uri}/${uploadKey(digest)}`,
        method: 'PUT',
        url: url.href,
        headers,
        expires_at: new Date(Date.now() + SECONDS * 1000).toISOString(),
      };
    },
  };
}

function bytesOfHex(hex: string): number[] {
  return Array.from({ length: hex.length / 2 }, (_, index) => Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16));
}

function unreachable(reason: string): CoreError {
  const message = `The store of uploads cannot be read (${reason}). Texts still work, and images in the request itself.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 5 });
}

function failed({ status }: Response): CoreError {
  const message = `The store of uploads answered ${status}: images above what the encoder takes in a call cannot reach it. Texts still work.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds: 5 });
}
