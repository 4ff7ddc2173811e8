// The error document in the form of each door: what its clients look for in an answer that is not 2xx.
import type { ErrorBody } from '../../../contracts/src/api/error.ts';
import type { Door } from '../../../contracts/src/api/operation.ts';

/** Our document carries OpenAI's `error` member, so that it serves several doors as it is. */
const asItIs = (body: ErrorBody): object => body;

export const DIALECTS: Record<Door, (body: ErrorBody) => object> = {
  own: asItIs,
  openai: asItIs,
  jina: asItIs,
  voyage: asItIs,
  cohere: asItIs,
  tei: asItIs,
};
