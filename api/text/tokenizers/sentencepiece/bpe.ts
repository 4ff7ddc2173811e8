// Byte-pair merges as SentencePiece makes them: two neighbours whose text is a piece are joined, the best score first.
import { mergeSymbols } from '../merges.ts';
import { KIND, type Piece } from './model-file.ts';
import { createMatcher } from './normalize.ts';
import type { Part } from './unigram.ts';

export function createBpe(pieces: readonly Piece[]): (units: string) => Part[] {
  const known = new Map<string, { id: number; score: number }>();
  for (const [id, { text, score, kind }] of pieces.entries()) {
    if (kind === KIND.unused)
      throw new Error(`piece ${id} of the vocabulary is unused, which SentencePiece would take apart again`);
    if (kind === KIND.normal || kind === KIND.userDefined) known.set(text, { id, score });
  }
  const symbolAt = createMatcher(pieces.flatMap(({ text, kind }) => (kind === KIND.userDefined ? [text] : [])));

  return function split(units) {
    const starts: number[] = [];
    const isFrozen: boolean[] = [];
    for (let at = 0; at < units.length; ) {
      const symbol = symbolAt(units, at);
      starts.push(at);
      isFrozen.push(symbol > 0);
      at += symbol || ((units.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    }
    starts.push(units.length);
    const place = (symbol: number) => starts[symbol] ?? units.length;
    const merged = mergeSymbols(isFrozen.length, (left, right, end) => {
      if (isFrozen[left] || isFrozen[right]) return undefined;
      const piece = known.get(units.slice(place(left), place(end)));
      return piece && -piece.score;
    });
    return merged.map(({ first, until }) => {
      const [from, to] = [place(first), place(until)];
      return { from, until: to, id: known.get(units.slice(from, to))?.id };
    });
  };
}
