// Keeps track of the parts of a table's file that are still to be read. A text has few of the table's rows: a new isolate that read all before its
// first vector spent a fifth of its time on rows of other languages.
import type { FilePart } from '../../contracts/src/model/artefact.ts';
import type { QuantizedTable } from '../../contracts/src/model/manifest.ts';
import type { TokenIds } from './engine.ts';

export interface Demand {
  /** Resolves once the rows with these ids and their scales are kept; undefined: they are. Ids outside the table need nothing. */
  need(texts: readonly TokenIds[]): Promise<void> | undefined;
}

/**
 * `parts`: all of the file, of one size but for the last. `keep` is given each of them once. Requests that need one at the same time each
 * read it: in workerd none may wait for what another reads.
 */
export function createDemand(
  { rows, width }: Pick<QuantizedTable, 'rows' | 'width'>,
  parts: readonly FilePart[],
  keep: (bytes: ArrayBuffer, part: number) => void,
): Demand {
  const size = parts[0]?.to ?? 1;
  const isKept = parts.map(() => false);
  let left = parts.length;
  /** By row, 1: its parts are kept. Looking it up takes a fifth of finding its parts. */
  const known = new Uint8Array(rows);

  async function read(part: number): Promise<void> {
    const bytes = await parts[part]?.read();
    if (bytes === undefined || isKept[part]) return;
    keep(bytes, part);
    isKept[part] = true;
    left--;
  }

  /** Parts of that row and of its scale that are not kept. */
  function lackingOf(id: number): number[] {
    const lacking: number[] = [];
    for (const [from, bytes] of [
      [id * width, width],
      [rows * width + id * 4, 4],
    ] as const) {
      for (let part = Math.floor(from / size); part * size < from + bytes; part++) {
        if (!isKept[part]) lacking.push(part);
      }
    }
    return lacking;
  }

  return {
    need(texts) {
      if (left === 0) return undefined;
      const missing = new Set<number>();
      for (const ids of texts) {
        for (const id of ids) {
          // Its row is here, or it is outside the table and needs none.
          if (known[id] !== 0) continue;
          const lacking = lackingOf(id);
          if (lacking.length === 0) known[id] = 1;
          for (const part of lacking) missing.add(part);
        }
      }
      return missing.size === 0 ? undefined : Promise.all(Array.from(missing, read)).then(() => {});
    },
  };
}
