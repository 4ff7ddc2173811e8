// The error document in the form of each door. Our own document carries OpenAI's `error` and, as `detail`, what clients
// of Jina and Voyage show.
import * as z from 'zod';
import { ErrorBody } from '../error.ts';
import type { Door } from '../operation.ts';

/** Clients that were generated from a description, such as Together's and Mixedbread's, look for `message` alone. */
export const OpenAiError = ErrorBody.extend({
  message: z.string().describe('The same sentence as `detail`.'),
}).meta({
  title: 'OpenAiError',
  description: 'Problem details (RFC 9457) that carry the sentence wherever clients look.',
});
export type OpenAiError = z.infer<typeof OpenAiError>;

export const CohereError = OpenAiError.extend({
  id: z.string().describe('The same as `request_id`.'),
}).meta({ title: 'CohereError', description: 'Problem details (RFC 9457) that also carry the members of Cohere.' });
export type CohereError = z.infer<typeof CohereError>;

export const TeiErrorType = z.enum(['Empty', 'Validation', 'Overloaded', 'Backend', 'Unhealthy']).meta({
  title: 'TeiErrorType',
  description:
    '`Empty`: there was nothing to read. `Validation`: another fault of the request. `Overloaded`: too many requests. ' +
    '`Unhealthy`: a part is not there. `Backend`: another fault of the service.',
});
export type TeiErrorType = z.infer<typeof TeiErrorType>;

export const TeiError = ErrorBody.omit({ error: true })
  .extend({ error: z.string().describe('The same sentence as `detail`.'), error_type: TeiErrorType })
  .meta({ title: 'TeiError', description: 'Problem details (RFC 9457) that also carry the members of TEI.' });
export type TeiError = z.infer<typeof TeiError>;

/** What an operation answers with when it refuses. */
export const DOOR_ERRORS = {
  own: ErrorBody,
  openai: OpenAiError,
  jina: OpenAiError,
  voyage: OpenAiError,
  cohere: CohereError,
  tei: TeiError,
} as const satisfies Record<Door, z.ZodType>;
