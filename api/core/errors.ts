// The error of everything that answers: a code of the contract and a sentence for the caller.
import type { ErrorCode } from '../../contracts/src/api/error.ts';

export interface ErrorDetails {
  /** Path of the offending field, e.g. `input.3.text`. */
  param?: string;
  /** Index of the offending item. */
  item?: number;
  /** When it is worth trying again, where that is known better than by the code. */
  retryAfterSeconds?: number;
  /** Bytes of the file of which others were asked for. */
  size?: number;
}

/** `message` says what the limit is and what was sent. */
export class CoreError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = 'CoreError';
    this.code = code;
    this.details = details;
  }
}
