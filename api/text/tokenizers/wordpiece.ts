// WordPiece with BERT's normalisation, exact against Hugging Face `tokenizers` but for words with symbols glued to them.
import type { WordPieceTokenizer } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, Tokenizer, Tokens } from '../engine.ts';
import { DECOMPOSED, DROPPED, HAN, MARK, PUNCTUATION, SPACE, SYMBOL } from './wordpiece-classes.ts';

/** Both runtimes have it; this box sees neither runtime's types. */
declare class TextDecoder {
  decode(bytes: ArrayBuffer): string;
}

/** A longer word is one unknown token, as in BERT; counted in code points after normalisation. */
const MAX_WORD = 100;

export async function openWordPiece(config: WordPieceTokenizer, read: ReadArtefact): Promise<Tokenizer> {
  return createWordPiece(new TextDecoder().decode(await read(config.vocabulary)), config);
}

/** `vocabulary`: one piece per line, the line number is the id. */
export function createWordPiece(
  vocabulary: string,
  { unk_id, cls_id, sep_id }: Pick<WordPieceTokenizer, 'unk_id' | 'cls_id' | 'sep_id'>,
): Tokenizer {
  const ids = new Map<string, number>();
  const pieces: string[] = [];
  let longest = 0;
  for (const piece of vocabulary.split('\n')) {
    if (piece === '' && ids.size > 0) continue;
    ids.set(piece, ids.size);
    pieces.push(piece);
    longest = Math.max(longest, piece.length);
  }

  /** Longest match first; appends (id, end) pairs with ends relative to the word, or nothing where it does not fit. */
  function split(part: string, from: number, found: number[]): boolean {
    const before = found.length;
    let start = 0;
    if (part.length > MAX_WORD && [...part].length > MAX_WORD) return false;
    while (start < part.length) {
      let end = Math.min(part.length, start + longest);
      let id: number | undefined;
      for (; end > start; end--) {
        const piece = part.slice(start, end);
        id = ids.get(start > 0 ? `##${piece}` : piece);
        if (id !== undefined) break;
      }
      if (id === undefined) {
        found.length = before;
        return false;
      }
      found.push(id, from + end);
      start = end;
    }
    return true;
  }

  /**
   * A word that does not fit is one unknown token, as in BERT, unless symbols are glued to it: then it is read as if they
   * stood apart, and what is unknown side by side is one token. So only words change of which some part is known.
   */
  function readWord(word: string, found: number[]): void {
    if (split(word, 0, found)) return;
    for (const { 0: part, index } of IS_SYMBOL.test(word) ? word.matchAll(PART) : [{ 0: word, index: 0 }]) {
      if (split(part, index, found)) continue;
      if (found.at(-2) === unk_id) found.length -= 2;
      found.push(unk_id, index + part.length);
    }
  }

  return {
    special: { before: [cls_id], after: [sep_id] },
    piece: (id) => pieces[id] ?? '',
    unknown: unk_id,
    seam(text, from) {
      SEAM.lastIndex = from;
      return from < text.length ? (SEAM.exec(text)?.index ?? text.length) : text.length;
    },
    encode(text) {
      const { units, starts, ends } = normalise(text);
      const tokens: Tokens = { ids: [], starts: [], ends: [] };
      const found: number[] = [];
      for (const match of units.matchAll(WORD)) {
        found.length = 0;
        readWord(match[0], found);
        let from = match.index;
        for (let i = 0; i < found.length; i += 2) {
          const to = match.index + (found[i + 1] ?? 0);
          tokens.ids.push(found[i] ?? unk_id);
          tokens.starts.push(starts ? (starts[from] ?? 0) : from);
          tokens.ends.push(ends ? (ends[to - 1] ?? 0) : to);
          from = to;
        }
      }
      return tokens;
    },
  };
}

// ------------------------------------------------------------------ normalisation: clean, space Han, NFD, drop marks, lower

const WORD = new RegExp(`[${PUNCTUATION}]|[^ ${PUNCTUATION}]+`, 'gu');
const IS_SYMBOL = new RegExp(`[${SYMBOL}]`, 'u');
const PART = new RegExp(`[${SYMBOL}]|[^${SYMBOL}]+`, 'gu');
/** Words end before these, whatever is around them. */
const SEAM = /[\t\n\r \u4e00-\u9fff]/g;
const PLAIN = /^[\x20-\x7e]*$/;
const IS_DROPPED = new RegExp(`[${DROPPED}]`, 'u');
const IS_SPACE = new RegExp(`[${SPACE}]`, 'u');
const IS_HAN = new RegExp(`[${HAN}]`, 'u');
const IS_DECOMPOSED = new RegExp(`[${DECOMPOSED}]`, 'u');
const MARKS = new RegExp(`[${MARK}]`, 'gu');
const COMBINING = /\p{M}/u;

/** Normalised text; `starts` and `ends` give each unit's source in the original, and are absent where nothing moved. */
interface Normalised {
  units: string;
  starts?: number[];
  ends?: number[];
}

interface Character {
  text: string;
  start: number;
  end: number;
}

function normalise(text: string): Normalised {
  if (PLAIN.test(text)) return { units: text.toLowerCase() };
  const starts: number[] = [];
  const ends: number[] = [];
  let units = '';
  for (const { text: piece, start, end } of decompose(clean(text))) {
    // Lower-case by code point: the whole string's rule would turn a last sigma into another letter.
    for (const character of piece.replace(MARKS, '')) {
      const lower = character.toLowerCase();
      units += lower;
      for (let i = 0; i < lower.length; i++) {
        starts.push(start);
        ends.push(end);
      }
    }
  }
  return { units, starts, ends };
}

/** Lone surrogates become U+FFFD, which is dropped: no other language's string can hold them. */
function clean(text: string): Character[] {
  const cleaned: Character[] = [];
  let start = 0;
  for (const character of text.toWellFormed()) {
    const end = start + character.length;
    const isPlain = character.length === 1 && character >= ' ' && character <= '~';
    if (isPlain) cleaned.push({ text: character, start, end });
    else if (IS_SPACE.test(character)) cleaned.push({ text: ' ', start, end });
    else if (IS_HAN.test(character)) {
      cleaned.push({ text: ' ', start, end }, { text: character, start, end }, { text: ' ', start, end });
    } else if (!IS_DROPPED.test(character)) cleaned.push({ text: character, start, end });
    start = end;
  }
  return cleaned;
}

/** NFD one character at a time, which keeps the places; a pile of marks that NFD reorders becomes one piece. */
function* decompose(characters: Character[]): Generator<Character> {
  for (let at = 0; at < characters.length; ) {
    let next = at + 1;
    while (next < characters.length && COMBINING.test(characters[next]?.text ?? '')) next++;
    const group = characters.slice(at, next);
    const single = group.map(({ text, start, end }) => ({ text: decomposed(text), start, end }));
    const joined = single.map(({ text }) => text).join('');
    const ordered = group.length > 1 ? joined.normalize('NFD') : joined;
    if (ordered === joined) yield* single;
    else yield { text: ordered, start: group[0]?.start ?? 0, end: group.at(-1)?.end ?? 0 };
    at = next;
  }
}

function decomposed(character: string): string {
  return character > '~' && IS_DECOMPOSED.test(character) ? character.normalize('NFD') : character;
}
