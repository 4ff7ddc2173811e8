// Options of `npm run encode` that are numbers, and what is said where they are not.
import { UserError } from '../../../contracts/src/user-error.ts';

export interface Range {
  from: number;
  /** Absent: as far as whole numbers are exact. */
  to?: number | undefined;
  isWhole?: boolean;
}

/** Throws a UserError where the value is none of the range, both ends of which are in it. */
export function numberOf(name: string, value: string, { from, to, isWhole = false }: Range): number {
  const number = Number(value);
  const isInside = number >= from && number <= (to ?? Number.MAX_SAFE_INTEGER);
  if (value.trim() !== '' && isInside && (!isWhole || Number.isInteger(number))) return number;
  const kind = isWhole ? 'whole number' : 'number';
  throw new UserError(`--${name} ${value}: a ${kind} from ${from}${to === undefined ? ' on' : ` to ${to}`}`);
}

/** Of something, from one on. Undefined where nothing is given. */
export function countOf(name: string, value: string | undefined, most?: number): number | undefined {
  return value === undefined ? undefined : numberOf(name, value, { from: 1, to: most, isWhole: true });
}
