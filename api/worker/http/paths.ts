// Which operations a path has, by look-ups. Hono's router makes one expression of all paths, which takes 8 ms of a new isolate's CPU.
import type { Route } from '../../../contracts/src/api/operation.ts';

export interface FoundPath<Row> {
  /** In the order of the table, at least one. */
  rows: readonly Row[];
  /** Values of the `{name}` parts. */
  params: Record<string, string>;
}

/** Of the operations' paths and aliases. `find` takes a path as Hono reads it: percent signs decoded but for `%25`. */
export function createPaths<Row extends Pick<Route, 'path' | 'aliases'>>(
  table: readonly Row[],
): { find(path: string): FoundPath<Row> | undefined } {
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
  return {
    find(path) {
      const rows = fixed.get(path);
      if (rows) return { rows, params: {} };
      const parts = path.split('/');
      for (const pattern of patterns.values()) {
        const params = paramsOf(pattern.parts, parts);
        if (params) return { rows: pattern.rows, params };
      }
      return undefined;
    },
  };
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

/** What is no percent-encoding stays as it is. */
function decoded(part: string): string {
  if (!part.includes('%')) return part;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
