// Finds the operations of a path by look-ups, and checks what its address may ask. Hono's router makes one expression of all paths, which
// takes 8 ms of a new isolate's CPU.
import type { Route } from '../../../contracts/src/api/operation.ts';
import { editDistance } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { describeUnknown } from '../../core/validation/known-keys.ts';

export interface FoundPath<Row> {
  /** In the order of the table, at least one. */
  rows: readonly Row[];
  /** Values of the `{name}` parts. */
  params: Record<string, string>;
}

export interface Paths<Row> {
  /** Takes a path as Hono reads it: percent signs decoded but for `%25`. */
  find(path: string): FoundPath<Row> | undefined;
  /** The path that may be meant by one that there is not: by a slash, a prefix or a letter too many or too few. */
  nearest(path: string): string | undefined;
}

/** Of the operations' paths and aliases. */
export function createPaths<Row extends Pick<Route, 'path' | 'aliases'>>(table: readonly Row[]): Paths<Row> {
  const fixed = new Map<string, Row[]>();
  const patterns = new Map<string, { parts: string[]; rows: Row[] }>();
  for (const row of table) {
    for (const path of [row.path, ...(row.aliases ?? [])]) {
      if (path.includes('{')) {
        const pattern = patterns.get(path) ?? { parts: path.split('/'), rows: [] };
        pattern.rows.push(row);
        patterns.set(path, pattern);
      } else fixed.set(path, [...(fixed.get(path) ?? []), row]);
    }
  }
  const find = (path: string): FoundPath<Row> | undefined => {
    const rows = fixed.get(path);
    if (rows) return { rows, params: {} };
    const parts = path.split('/');
    for (const pattern of patterns.values()) {
      const params = paramsOf(pattern.parts, parts);
      if (params) return { rows: pattern.rows, params };
    }
    return undefined;
  };
  return {
    find,
    nearest(path) {
      const plain = plainPath(path);
      const same = [plain, plain.toLowerCase()].find((each) => find(each));
      if (same) return same;
      const [lower, known] = [plain.toLowerCase(), [...fixed.keys()].filter((each) => each !== '/')];
      const [inside] = known
        .filter((each) => lower.endsWith(each) || each.endsWith(lower))
        .sort((a, b) => b.length - a.length);
      if (inside) return inside;
      const allowed = Math.min(2, Math.floor(lower.length / 4));
      return known.find((each) => editDistance(lower, each, allowed) <= allowed);
    },
  };
}

/** With one slash where there are several, none at its end, and no part twice in a row: addresses are put together of parts. */
function plainPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '');
  return `/${parts.filter((part, index) => part !== parts[index - 1]).join('/')}`;
}

/**
 * Refuses what an operation would not look at: a dry run that is none is answered and charged. A page and health are asked
 * with anything, by browsers and by what goes around a cache.
 */
export function checkParameters({ url }: Request, { method, path, parameters }: Route): void {
  // Most addresses have no question: reading one takes longer than looking for it.
  if (!url.includes('?') || (method !== 'POST' && !parameters)) return;
  const unknown = [...new Set(new URL(url).searchParams.keys())].filter((name) => !parameters?.includes(name));
  const [first] = unknown;
  if (first === undefined) return;
  const what = unknown.length === 1 ? 'a parameter that is not known' : 'parameters that are not known';
  const where = method === 'POST' ? ` What POST ${path} is asked stands in its body.` : '';
  const message = `The address has ${what} here: ${describeUnknown(unknown, [...(parameters ?? [])])}${where}`;
  throw new CoreError('unknown_key', message, { param: first });
}

/** Undefined where the path is another one. */
function paramsOf(pattern: string[], parts: string[]): Record<string, string> | undefined {
  if (parts.length !== pattern.length) return undefined;
  const params: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const part = parts[index] ?? '';
    if (!wanted.startsWith('{')) {
      if (part !== wanted) return undefined;
    } else if (part === '') return undefined;
    else params[wanted.slice(1, -1)] = decoded(part);
  }
  return params;
}

/** A part that is not valid percent-encoding stays as it is. */
function decoded(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
