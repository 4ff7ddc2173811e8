// The error document in the form of each door: what its clients look for in an answer that is not 2xx.
import type { CohereError, OpenAiError, TeiError, TeiErrorType } from '../../../contracts/src/api/doors/errors.ts';
import type { ErrorBody } from '../../../contracts/src/api/error.ts';
import type { Door } from '../../../contracts/src/api/operation.ts';

/** OpenAI's clients read `error.message`, those of Jina and Voyage `detail`, Together's and Mixedbread's `message`. */
const withMessage = (body: ErrorBody): OpenAiError => ({ message: body.detail, ...body });

export const DIALECTS: Record<Door, (body: ErrorBody) => object> = {
  own: (body) => body,
  openai: withMessage,
  jina: withMessage,
  voyage: withMessage,
  cohere: (body): CohereError => ({ ...withMessage(body), id: body.request_id }),
  // The clients of Hugging Face show `error` if it is a string.
  tei: (body): TeiError => ({ ...body, error: body.detail, error_type: teiType(body) }),
};

function teiType({ code, status }: ErrorBody): TeiErrorType {
  if (code === 'empty_input') return 'Empty';
  if (status === 429) return 'Overloaded';
  if (status === 503) return 'Unhealthy';
  return status < 500 ? 'Validation' : 'Backend';
}
