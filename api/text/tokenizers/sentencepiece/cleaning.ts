// Cleans texts as SigLIP's tokenizers do before SentencePiece sees them.
import type { SentencePieceTokenizer } from '../../../../contracts/src/model/tokenizer.ts';
import { lowerCased } from '../lower-case.ts';
import { createPlaced, type Placed } from './places.ts';

type Cleaning = SentencePieceTokenizer['cleaning'];

/**
 * Lone surrogates become U+FFFD: no other language's string can hold them. `trimmed`: white space at the start goes, too;
 * else it stays for SentencePiece, which removes it and keeps its place.
 */
export function cleaned(text: string, cleaning: Cleaning, options: { trimmed: boolean }): Placed {
  const whole = text.toWellFormed();
  if (cleaning === undefined) return places(whole);
  if (cleaning === 'lower') return lowerCased(characters(whole));
  return withoutPunctuation(whole, cleaning, options);
}

function places(text: string): Placed {
  const placed = createPlaced();
  for (const { text: character, start, end } of characters(text)) placed.add(character, start, end);
  return placed;
}

function* characters(text: string): Generator<{ text: string; start: number; end: number }> {
  let start = 0;
  for (const character of text) {
    const end = start + character.length;
    yield { text: character, start, end };
    start = end;
  }
}

/** ASCII's, which Python calls `string.punctuation`. */
const PUNCTUATION = /[!-/:-@[-`{-~]/;
/** Python's white space. */
const BLANKS = '\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000';
const SPACE = new RegExp(`[${BLANKS}]`);

/**
 * Lower case by the rule of whole strings, as Python has it: the last sigma of a word is another letter. transformers lowers
 * before it removes punctuation, open_clip after.
 */
function withoutPunctuation(
  text: string,
  cleaning: 'canonical' | 'canonical_spaced',
  { trimmed }: { trimmed: boolean },
): Placed {
  const whole = [...characters(text)];
  const spaced = whole.map((each) => (each.text === '_' ? { ...each, text: ' ' } : each));
  const kept = cleaning === 'canonical' ? whole : spaced.filter((each) => !PUNCTUATION.test(each.text));
  const lower = kept
    .map((each) => each.text)
    .join('')
    .toLowerCase();
  const placed = createPlaced();
  let at = 0;
  let space: { start: number; end: number } | undefined;
  for (const { text: character, start, end } of kept) {
    const width = character.toLowerCase().length;
    const units = lower.slice(at, at + width);
    at += width;
    if (SPACE.test(units)) space = { start, end };
    else if (!PUNCTUATION.test(units)) {
      if (space && !(trimmed && placed.units === '')) placed.add(' ', space.start, space.end);
      space = undefined;
      placed.add(units, start, end);
    }
  }
  return placed;
}
