// The closed list of error codes, the status of each, and the body that carries them.
import * as z from 'zod';

/** One table: a code's status is decided here and nowhere else. */
export const ERROR_STATUS = {
  malformed_json: 400,
  invalid_request: 400,
  unknown_key: 400,
  wrong_type: 400,
  empty_input: 400,
  unsupported_type: 400,
  invalid_dimensions: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  model_not_found: 404,
  method_not_allowed: 405,
  body_timeout: 408,
  body_too_large: 413,
  image_too_large: 413,
  too_many_pixels: 413,
  unsupported_media_type: 415,
  unsupported_image_type: 415,
  range_not_satisfiable: 416,
  too_many_items: 422,
  too_many_tokens: 422,
  text_too_long: 422,
  not_understood: 422,
  not_an_image: 422,
  broken_image: 422,
  space_mismatch: 422,
  dimension_mismatch: 422,
  overloaded: 429,
  rate_limited: 429,
  quota_exceeded: 429,
  internal_error: 500,
  non_finite_embedding: 500,
  encoder_error: 502,
  encoder_unavailable: 503,
  keys_unavailable: 503,
  not_configured: 503,
  model_unavailable: 503,
  encoder_timeout: 504,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;
export const ErrorCode = z
  .enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]])
  .meta({ title: 'ErrorCode', description: 'What went wrong, from a closed list; the status follows from it.' });

export const ErrorMember = z
  .strictObject({
    message: z.string().describe('What was wrong, and what to do.'),
    type: z.string().describe("OpenAI's kind of error, such as `invalid_request_error` or `server_error`."),
    param: z
      .string()
      .nullable()
      .describe('Path of the offending field, or its first 200 characters; null where no field is to blame.'),
    code: ErrorCode,
    retry_after_seconds: z
      .int()
      .positive()
      .optional()
      .describe('After how many seconds the same may be asked again; absent where that would not help.'),
  })
  .meta({ title: 'ErrorMember', description: "A problem in OpenAI's form." });
export type ErrorMember = z.infer<typeof ErrorMember>;

export const ErrorBody = z
  .strictObject({
    type: z.string().describe('URI that names the kind of problem: `urn:edge-clip:error:` and the code.'),
    title: z.string().describe('The code in words.'),
    status: z.int().describe('HTTP status, the same as of the answer.'),
    detail: z.string().describe('A sentence for a person: what was wrong, and what to do.'),
    code: ErrorCode,
    request_id: z.string().describe('Id of the request, the same as in the header `x-request-id`.'),
    item: z.int().nonnegative().optional().describe('Index of the offending item, where one item is to blame.'),
    error: ErrorMember.describe("The same problem in OpenAI's form."),
  })
  .meta({
    title: 'ErrorBody',
    description:
      "RFC 9457 problem details that also carry OpenAI's `error` member, so that both kinds of client show the sentence.",
  });
export type ErrorBody = z.infer<typeof ErrorBody>;
