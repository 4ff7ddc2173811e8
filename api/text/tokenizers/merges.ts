// Byte-pair merges of one word: the pair that comes first in the list is joined first, of equal ones the leftmost.

/** A token with the symbols that it stands for: from `first` to before `until`. */
export interface Merged {
  id: number;
  first: number;
  until: number;
}

interface Candidate {
  rank: number;
  /** Of the left symbol. */
  at: number;
  left: number;
  right: number;
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
    const next = symbols.map((_, index) => index + 1);
    const previous = symbols.map((_, index) => index - 1);
    const isGone = symbols.map(() => false);
    const heap = createHeap();

    function offer(at: number): void {
      const [left, right] = [current[at], current[next[at] ?? -1]];
      if (left === undefined || right === undefined) return;
      const rank = ranks.get(left * size + right);
      if (rank !== undefined) heap.push({ rank, at, left, right });
    }

    for (let at = 0; at + 1 < symbols.length; at++) offer(at);
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const { at, rank, left, right } = best;
      const after = next[at] ?? symbols.length;
      // One of the two was joined with another one meanwhile.
      if (isGone[at] || current[at] !== left || current[after] !== right) continue;
      current[at] = results[rank] ?? left;
      isGone[after] = true;
      const beyond = next[after] ?? symbols.length;
      next[at] = beyond;
      if (beyond < symbols.length) previous[beyond] = at;
      const before = previous[at] ?? -1;
      if (before >= 0) offer(before);
      offer(at);
    }
    const found: Merged[] = [];
    for (let at = 0; at < symbols.length; at = next[at] ?? symbols.length)
      found.push({ id: current[at] ?? 0, first: at, until: next[at] ?? symbols.length });
    return found;
  };
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
