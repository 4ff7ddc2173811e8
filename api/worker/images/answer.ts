// Reads the image encoder's answer and trusts none of it: results are of the files that were sent, in their order, unit vectors.

import { EncodeResponse, type EncodeResult } from '../../../contracts/src/api/encode.ts';
import { ErrorBody } from '../../../contracts/src/api/error.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import type { EncodedFile, Space } from '../../core/embed.ts';
import { CoreError } from '../../core/errors.ts';
import { fromBase64, isBase64 } from '../../core/vectors/base64.ts';
import { fromFloat32Bytes, isUnit } from '../../core/vectors/vectors.ts';

export interface Answer {
  status: number;
  text: string;
  retryAfter: string | null;
}

/** `digests`: of the files of the call. */
export function readAnswer(
  { status, text, retryAfter }: Answer,
  { digests, space }: { digests: string[]; space: Space },
): (EncodedFile | CoreError)[] {
  if (status === 429) {
    const seconds = Math.min(60, Math.max(1, Math.ceil(Number(retryAfter)) || 1));
    const message = `The image encoder is busy: try again in ${seconds} s.`;
    throw new CoreError('overloaded', message, { retryAfterSeconds: seconds });
  }
  if (status === 403) throw unavailable('it does not accept our signature (AWS_ACCESS_KEY_ID and its secret)');
  // workerd's and Lambda's own pages when nothing listens or it is starting.
  if ([502, 503, 504].includes(status)) throw unavailable(`it answered ${status}`);
  const parsed = status === 200 ? EncodeResponse.safeParse(jsonIn(text)) : undefined;
  if (!parsed?.success) throw wrong(`answered ${status}${reasonIn(text)}`);
  const { results, space_id } = parsed.data;
  if (space_id !== space.id) throw wrong('answered vectors of another space');
  if (results.length !== digests.length) throw wrong(`answered ${results.length} results for ${digests.length} images`);
  return results.map((result, index) => {
    if (result.digest !== digests[index]) throw wrong('answered a result of another image in the place of an image');
    return readResult(result, space.embedDim);
  });
}

/** The sentence of our own error document; whatever else was answered stays inside. */
function reasonIn(text: string): string {
  const detail = ErrorBody.safeParse(jsonIn(text)).data?.detail;
  return detail ? `: ${detail}` : ', in no form that is known here';
}

function readResult(result: EncodeResult, embedDim: number): EncodedFile | CoreError {
  if (result.status === 'failed') return new CoreError(result.code, result.message);
  const { embedding, width, height, type, warnings } = result;
  const vector = isBase64(embedding) ? fromFloat32Bytes(fromBase64(embedding)) : undefined;
  if (vector?.length !== embedDim) throw wrong(`answered ${vector?.length ?? 'no'} numbers instead of ${embedDim}`);
  if (!isUnit(vector)) {
    throw new CoreError(
      'non_finite_embedding',
      'The image encoder answered a vector that is not a finite unit vector.',
    );
  }
  return { vector, width, height, type, warnings };
}

function wrong(what: string): CoreError {
  return new CoreError('encoder_error', `The image encoder ${what}. Texts still work.`);
}

export function unavailable(reason: string, retryAfterSeconds = 5): CoreError {
  const message = `The image encoder is not available: ${reason}. Texts still work; try again in ${retryAfterSeconds} s.`;
  return new CoreError('encoder_unavailable', message, { retryAfterSeconds });
}
