// The likeliest pieces of a text under a unigram model: Viterbi's search as SentencePiece computes it, in float32.
import { KIND, type Piece } from './model-file.ts';
import { utf8 } from './utf8.ts';

/** A part of a text: from where to before where, and its piece; absent: the vocabulary lacks it. */
export interface Part {
  from: number;
  until: number;
  id: number | undefined;
}

/** Subtracted from the worst score for a character without a piece. */
const UNKNOWN_PENALTY = 10;
/** Of a symbol that its maker defined, for each byte but its first. Scores of others are logarithms of shares, below 0. */
const BONUS = 0.1;

export function createUnigram(pieces: readonly Piece[]): (units: string) => Part[] {
  const normal = pieces.filter(({ kind }) => kind === KIND.normal);
  const lowest = normal.reduce((least, { score }) => Math.min(least, score), Number.POSITIVE_INFINITY);
  const unknownScore = Math.fround(lowest - UNKNOWN_PENALTY);
  const known = new Map<string, { id: number; score: number }>();
  /** Of each first unit, the length of the longest piece. */
  const longest = new Map<string, number>();
  for (const [id, { text, score, kind }] of pieces.entries()) {
    if (kind !== KIND.normal && kind !== KIND.userDefined) continue;
    known.set(text, { id, score: kind === KIND.normal ? score : scoreOfSymbol(text) });
    const first = text[0] ?? '';
    longest.set(first, Math.max(longest.get(first) ?? 0, text.length));
  }

  return function split(units) {
    const best = createPaths(units.length);
    for (let from = 0; from < units.length; ) {
      const width = (units.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
      let hasCharacter = false;
      const last = Math.min(units.length, from + (longest.get(units[from] ?? '') ?? 0));
      for (let until = from + width; until <= last; until++) {
        const piece = known.get(units.slice(from, until));
        if (piece) best.offer({ from, until, id: piece.id }, piece.score);
        if (piece && until === from + width) hasCharacter = true;
      }
      if (!hasCharacter) best.offer({ from, until: from + width, id: undefined }, unknownScore);
      from += width;
    }
    return best.path();
  };
}

/** Of each place in a text the last part of the best path that ends there. */
function createPaths(size: number): { offer(part: Part, score: number): void; path(): Part[] } {
  const sums = new Float32Array(size + 1);
  const begins = new Int32Array(size + 1).fill(-1);
  const ids = new Int32Array(size + 1).fill(-1);
  return {
    offer({ from, until, id }, score) {
      // Rounded before it is compared: of splits that are equal in float32 the first one stays.
      const sum = Math.fround(score + (sums[from] ?? 0));
      if (begins[until] !== -1 && sum <= (sums[until] ?? 0)) return;
      sums[until] = sum;
      begins[until] = from;
      ids[until] = id ?? -1;
    },
    path() {
      const parts: Part[] = [];
      for (let until = size; until > 0; until = begins[until] ?? 0) {
        const id = ids[until] ?? -1;
        parts.push({ from: begins[until] ?? 0, until, id: id < 0 ? undefined : id });
      }
      return parts.reverse();
    },
  };
}

/** As the library has it (0.2.3): most splits with the symbol beat those without. */
function scoreOfSymbol(text: string): number {
  let bytes = 0;
  for (const character of text) bytes += utf8(character.codePointAt(0) ?? 0).length;
  return Math.fround((bytes - 1) * BONUS);
}
