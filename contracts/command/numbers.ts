// Options and environment variables that are numbers, and what is said where they are not.
import { UserError } from '../src/user-error.ts';

export interface Range {
  from: number;
  /** Absent: as far as whole numbers are exact. */
  to?: number;
}

/**
 * The number that `text` writes, its digits in groups (`1_000_000`) or not. Throws a UserError where it is outside the
 * range, whose ends belong to it. `name`: what the user wrote before it, `--steps` or the name of a variable.
 */
export function numberOf(name: string, text: string, range: Range): number;
export function numberOf(name: string, text: string | undefined, range: Range): number | undefined;
export function numberOf(name: string, text: string | undefined, range: Range): number | undefined {
  return text === undefined ? undefined : read(name, text, { ...range, kind: 'number' });
}

/** As `numberOf`, without a fraction. */
export function wholeNumberOf(name: string, text: string, range: Range): number;
export function wholeNumberOf(name: string, text: string | undefined, range: Range): number | undefined;
export function wholeNumberOf(name: string, text: string | undefined, range: Range): number | undefined {
  return text === undefined ? undefined : read(name, text, { ...range, kind: 'whole number' });
}

/** TCP ports; 0: a free one. */
export const PORTS = { from: 0, to: 65_535 } as const satisfies Range;

function read(name: string, text: string, { from, to, kind }: Range & { kind: 'number' | 'whole number' }): number {
  const digits = text.replaceAll(/(?<=\d)_(?=\d)/g, '').trim();
  // By itself, Number reads hexadecimal digits, too, and no text as 0.
  const value = /^[-+]?[\d.]+(e[-+]?\d+)?$/i.test(digits) ? Number(digits) : Number.NaN;
  const isInside = value >= from && value <= (to ?? Number.MAX_SAFE_INTEGER);
  if (isInside && (kind === 'number' || Number.isInteger(value))) return value;
  throw new UserError(`${name} ${text}: a ${kind} from ${from}${to === undefined ? ' on' : ` to ${to}`}`);
}
