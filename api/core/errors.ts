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

/** So many UTF-16 units of what a caller wrote are repeated in a sentence, of what may be an address, and of a param. */
const QUOTED = 60;
export const ADDRESS = 200;
const PARAM = 200;
/** So many names stand in a sentence. */
export const NAMED = 8;

/** What a caller wrote, for a sentence: it may be as long as a body, and an answer is not. */
export function shortened(text: string, most: number = QUOTED): string {
  // No half of a surrogate pair at the end, which is no text.
  return text.length > most ? `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…` : text;
}

/** As `shortened`, in quotes, with what would break a line escaped. */
export function quoted(text: string): string {
  return JSON.stringify(shortened(text));
}

export function shortList(names: readonly string[], write: (name: string) => string = String): string {
  const named = names.slice(0, NAMED).map((name) => write(shortened(name)));
  return `${named.join(', ')}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ''}`;
}

/** `message` says what the limit is and what was sent. */
export class CoreError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message);
    this.name = 'CoreError';
    this.code = code;
    // A path may hold a key that the caller chose.
    this.details = details.param === undefined ? details : { ...details, param: shortened(details.param, PARAM) };
  }
}
