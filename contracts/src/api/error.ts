// The closed list of error codes, the status of each, and the body that carries them.
import { z } from 'zod';

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
  not_found: 404,
  model_not_found: 404,
  method_not_allowed: 405,
  body_too_large: 413,
  image_too_large: 413,
  too_many_pixels: 413,
  unsupported_media_type: 415,
  unsupported_image_type: 415,
  too_many_items: 422,
  text_too_long: 422,
  not_an_image: 422,
  broken_image: 422,
  space_mismatch: 422,
  dimension_mismatch: 422,
  overloaded: 429,
  internal_error: 500,
  non_finite_embedding: 500,
  encoder_error: 502,
  encoder_unavailable: 503,
  model_unavailable: 503,
  encoder_timeout: 504,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;
export const ErrorCode = z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]);

/** RFC 9457 problem details that also carry OpenAI's `error` member, so that both kinds of client show the sentence. */
export const ErrorBody = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  code: ErrorCode,
  request_id: z.string(),
  /** Index of the offending item, where one item is to blame. */
  item: z.int().nonnegative().optional(),
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: ErrorCode,
  }),
});
export type ErrorBody = z.infer<typeof ErrorBody>;
