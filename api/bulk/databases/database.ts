// The seam of vector databases: what each is asked, so that the vectors of a bulk job can be loaded into it.
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Kind, NamedVector } from './vectors.ts';

/** A place that vectors go to, opened. */
export interface Loader {
  /** Takes at least one. Vectors that are there under the same name are replaced, so that the same load twice changes nothing. See `keepsAll`. */
  write(vectors: NamedVector[]): Promise<void>;
  /** After the last vector: only now is what was written complete. */
  finish(): Promise<void>;
  /** Also after a failure. */
  close(): Promise<void>;
}

export interface TableAt {
  /** Without its scheme. */
  place: string;
  table: string;
  /** Where the place asks for one. */
  key: string | undefined;
}

export interface Database {
  /** How its place is written. */
  form: string;
  /** What it can hold. */
  types: readonly Kind['type'][];
  /** Whether vectors are only ever added to a new file: one whose name was in an earlier `write` is beside that one. */
  keepsAll?: true;
  /** Throws a UserError where the table holds vectors of another kind. */
  open(at: TableAt, kind: Kind): Promise<Loader>;
  /** How the nearest vectors are asked for, in its own language. */
  query(at: TableAt, kind: Kind): string;
}

/** Where bits are held by the byte, a length between two bytes would gain dimensions. */
export function refusePartialBytes({ type, dimensions }: Kind): void {
  if (type === 'binary' && dimensions % 8 !== 0) {
    throw new UserError(
      `bits are held by eights there, and ${dimensions} is not a multiple of 8: encode with other --dimensions`,
    );
  }
}

/** What a table of ours has. */
export const COLUMNS = ['custom_id', 'embedding', 'modality', 'space_id'] as const;

/** Somebody else's table is not written to. `names`: of its columns. */
export function refuseForeign(table: string, names: readonly string[], wanted: readonly string[] = COLUMNS): void {
  const missing = wanted.filter((name) => !names.includes(name));
  if (missing.length === 0) return;
  throw new UserError(`table ${table} is another one, without ${missing.join(', ')}: choose --table`);
}

/** Vectors of two spaces in a table would be compared, and the scores would mean nothing. */
export function otherSpace(table: string, held: string, { space_id }: Kind): UserError {
  return new UserError(
    `table ${table} holds vectors of space ${held}, these are of ${space_id}: scores between them mean nothing. ` +
      'Choose another --table, or empty this one',
  );
}
