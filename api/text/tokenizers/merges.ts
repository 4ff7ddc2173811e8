// Byte-pair merges: of two neighbours that may be joined the pair with the lowest rank is joined first, of equal ones the leftmost.

/** A token with the symbols that it stands for: from `first` to before `until`. */
export interface Merged {
  id: number;
  first: number;
  until: number;
}

interface Candidate {
  rank: number;
  /** First symbols of the left and of the right one, and the symbol behind both. */
  at: number;
  right: number;
  end: number;
}

/** `merges`: two pieces with a space between them, the first first. A pair of a piece that the vocabulary lacks is an error. */
export function createMerger(
  merges: readonly string[],
  ids: ReadonlyMap<string, number>,
): (symbols: number[]) => Merged[] {
  const size = ids.size;
  const ranks = new Map<number, number>();
  const results: number[] = [];
  for (const [rank, line] of merges.entries()) {
    const [left = '', right = ''] = line.split(' ');
    const [first, second, joined] = [ids.get(left), ids.get(right), ids.get(left + right)];
    if (first === undefined || second === undefined || joined === undefined)
      throw new Error(`the vocabulary lacks a piece of merge ${rank + 1}, ${JSON.stringify(line)}`);
    const pair = first * size + second;
    if (!ranks.has(pair)) ranks.set(pair, rank);
    results.push(joined);
  }

  return function merge(symbols) {
    const current = [...symbols];
    const pairRank = (left: number, right: number) => ranks.get((current[left] ?? 0) * size + (current[right] ?? 0));
    return mergeSymbols(symbols.length, pairRank, (left, rank) => {
      current[left] = results[rank] ?? 0;
    }).map((range) => ({ id: current[range.first] ?? 0, ...range }));
  };
}

/** Symbols that became one: from `first` to before `until`. */
export interface Range {
  first: number;
  until: number;
}

/**
 * `rankOf`: of two neighbours, the first of them named by its first symbol, `end` being the symbol behind both; undefined:
 * they stay apart. `onJoin` is told of each pair that is joined.
 */
export function mergeSymbols(
  count: number,
  rankOf: (left: number, right: number, end: number) => number | undefined,
  onJoin?: (left: number, rank: number) => void,
): Range[] {
  const next = Array.from({ length: count }, (_, index) => index + 1);
  const previous = Array.from({ length: count }, (_, index) => index - 1);
  const isGone = new Array<boolean>(count).fill(false);
  const heap = createHeap();

  function offer(at: number): void {
    const right = next[at] ?? count;
    if (right >= count) return;
    const end = next[right] ?? count;
    const rank = rankOf(at, right, end);
    if (rank !== undefined) heap.push({ rank, at, right, end });
  }

  for (let at = 0; at + 1 < count; at++) offer(at);
  for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
    const { at, rank, right, end } = best;
    // One of the two was joined with another one meanwhile.
    if (isGone[at] || isGone[right] || next[at] !== right || next[right] !== end) continue;
    isGone[right] = true;
    next[at] = end;
    if (end < count) previous[end] = at;
    onJoin?.(at, rank);
    const before = previous[at] ?? -1;
    if (before >= 0) offer(before);
    offer(at);
  }
  const found: Range[] = [];
  for (let at = 0; at < count; at = next[at] ?? count) found.push({ first: at, until: next[at] ?? count });
  return found;
}

/** A binary heap: a word may have as many symbols as a request has characters. */
function createHeap(): { push(candidate: Candidate): void; pop(): Candidate | undefined } {
  const items: Candidate[] = [];
  const isBefore = (one: Candidate, other: Candidate) =>
    one.rank !== other.rank ? one.rank < other.rank : one.at < other.at;

  function swap(one: number, other: number): void {
    const [first, second] = [items[one], items[other]];
    if (first === undefined || second === undefined) return;
    items[one] = second;
    items[other] = first;
  }

  return {
    push(candidate) {
      let at = items.push(candidate) - 1;
      while (at > 0) {
        const parent = (at - 1) >> 1;
        const above = items[parent];
        if (above === undefined || !isBefore(candidate, above)) return;
        swap(at, parent);
        at = parent;
      }
    },
    pop() {
      const [best] = items;
      const end = items.pop();
      if (best === undefined || end === undefined || items.length === 0) return best;
      items[0] = end;
      for (let at = 0; ; ) {
        const children = [2 * at + 1, 2 * at + 2];
        let least = at;
        for (const child of children) {
          const [one, other] = [items[child], items[least]];
          if (one !== undefined && other !== undefined && isBefore(one, other)) least = child;
        }
        if (least === at) return best;
        swap(at, least);
        at = least;
      }
    },
  };
}
