// WordPiece with BERT's normalisation, exact against Hugging Face `tokenizers` but for words with symbols glued to them.
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { WordPieceTokenizer } from '../../../contracts/src/model/tokenizer.ts';
import type { ReadArtefact, Tokenizer, Tokens } from '../engine.ts';
import { type Lowered, lowerCased } from './lower-case.ts';
import { decodeIndex, openPieces, type VocabularyIndex } from './pieces.ts';
import { DECOMPOSED, DROPPED, HAN, MARK, ORDERED, PUNCTUATION, SPACE, SYMBOL } from './wordpiece-classes.ts';

/** Both runtimes have them; this box sees neither runtime's types. */
declare class TextDecoder {
  decode(bytes: ArrayBuffer): string;
}
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

/** A longer word is unknown, as in BERT; counted in code points after normalisation. */
const MAX_WORD = 100;

/** `index`: the file of the vocabulary's index; absent: it is made here. */
export async function openWordPiece(
  config: WordPieceTokenizer,
  read: ReadArtefact,
  index?: Artefact,
): Promise<Tokenizer> {
  const [vocabulary, indexed] = await Promise.all([read(config.vocabulary), index && read(index)]);
  return createWordPiece(new TextDecoder().decode(vocabulary), config, indexed && decodeIndex(indexed));
}

/** Where it stands in the normalised text. */
interface Token {
  id: number;
  start: number;
  end: number;
  isUnknown: boolean;
}

/** `vocabulary`: one piece per line, the line number is the id. */
export function createWordPiece(
  vocabulary: string,
  { unk_id, cls_id, sep_id, fallback }: Pick<WordPieceTokenizer, 'unk_id' | 'cls_id' | 'sep_id' | 'fallback'>,
  index?: VocabularyIndex,
): Tokenizer {
  const pieces = openPieces(vocabulary, index);
  const bytes = fallback ? Array.from({ length: 256 }, (_, byte) => idOfByte(byte)) : [];
  const utf8 = new TextEncoder();

  function idOfByte(byte: number): number {
    const piece = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    const id = pieces.idOf(piece);
    if (id === undefined)
      throw new Error(`the vocabulary lacks ${piece}, which spells characters that it does not have`);
    return id;
  }

  function append({ ids, starts, ends, unknown }: Tokens, token: Token): void {
    ids.push(token.id);
    starts.push(token.start);
    ends.push(token.end);
    unknown?.push(token.isUnknown);
  }

  /** Longest match first; nothing is appended where the part does not fit. `from`: where it begins. */
  function split(part: string, from: number, found: Tokens): boolean {
    const before = found.ids.length;
    if (isLong(part)) return false;
    for (let start = 0; start < part.length; ) {
      const piece = pieces.match(part, start);
      if (!piece) {
        found.ids.length = found.starts.length = found.ends.length = before;
        return false;
      }
      append(found, { id: piece.id, start: from + start, end: from + piece.end, isUnknown: false });
      start = piece.end;
    }
    return true;
  }

  /**
   * A word that does not fit is one unknown token, as in BERT, unless symbols are glued to it: then it is read as if they
   * stood apart, and what is unknown side by side is one token. So only words change of which some part is known.
   */
  function readWord(word: string, from: number, found: Tokens): void {
    if (split(word, from, found)) return;
    const before = found.ids.length;
    for (const { 0: part, index } of partsOf(word)) {
      const [start, end] = [from + index, from + index + part.length];
      if (split(part, start, found)) continue;
      const last = found.ids.length - 1;
      if (last >= before && found.ids[last] === unk_id) found.ends[last] = end;
      else append(found, { id: unk_id, start, end, isUnknown: true });
    }
  }

  /** As above, but that symbols always stand apart and that bytes spell what does not fit. */
  function spellWord(word: string, from: number, found: Tokens): void {
    if (!IS_SYMBOL.test(word)) spellPart(word, from, found);
    else for (const { 0: part, index } of word.matchAll(PART)) spellPart(part, from + index, found);
  }

  function spellPart(part: string, from: number, found: Tokens): void {
    const isTooLong = isLong(part);
    for (let at = 0; at < part.length; ) {
      const piece = pieces.match(part, at);
      const start = from + at;
      if (piece) {
        append(found, { id: piece.id, start, end: from + piece.end, isUnknown: isTooLong });
        at = piece.end;
      } else {
        const size = (part.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
        for (const id of spell(part.slice(at, at + size))) {
          append(found, { id, start, end: start + size, isUnknown: true });
        }
        at += size;
      }
    }
  }

  const spell = (character: string): number[] => Array.from(utf8.encode(character), (byte) => bytes[byte] ?? unk_id);

  const readOne = fallback ? spellWord : readWord;
  return {
    special: { before: [cls_id], after: [sep_id] },
    piece: pieces.entry,
    unknown: unk_id,
    spells: fallback !== undefined,
    seam(text, from) {
      SEAM.lastIndex = from;
      return from < text.length ? (SEAM.exec(text)?.index ?? text.length) : text.length;
    },
    encode(text) {
      const { units, starts, ends } = normalise(text);
      const found: Tokens = { ids: [], starts: [], ends: [], ...(fallback ? { unknown: [] } : {}) };
      // Not `matchAll`, which makes the expression anew: that takes longer than ten words do.
      WORD.lastIndex = 0;
      for (let word = WORD.exec(units); word; word = WORD.exec(units)) readOne(word[0], word.index, found);
      if (!starts || !ends) return found;
      return {
        ...found,
        starts: found.starts.map((at) => starts[at] ?? 0),
        ends: found.ends.map((at) => ends[at - 1] ?? 0),
      };
    },
  };
}

function isLong(word: string): boolean {
  return word.length > MAX_WORD && [...word].length > MAX_WORD;
}

/** Symbols one by one, and what is between them. */
function partsOf(word: string): Iterable<{ 0: string; index: number }> {
  return IS_SYMBOL.test(word) ? word.matchAll(PART) : [{ 0: word, index: 0 }];
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
const IS_ORDERED = new RegExp(`[${ORDERED}]`, 'u');
const PILE = new RegExp(`[${ORDERED}]{2,}`, 'gu');

/** With the place that it had in the original. */
interface Character {
  text: string;
  start: number;
  end: number;
}

/** Places are absent where nothing moved. */
function normalise(text: string): Pick<Lowered, 'units'> & Partial<Lowered> {
  if (PLAIN.test(text)) return { units: text.toLowerCase() };
  return lowerCased(decompose(clean(text)));
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

/** NFD without marks, one character at a time, which keeps the places; a pile of marks that NFD reorders becomes one piece. */
function* decompose(characters: Character[]): Generator<Character> {
  for (let at = 0; at < characters.length; ) {
    let next = at + 1;
    while (next < characters.length && IS_ORDERED.test(characters[next]?.text ?? '')) next++;
    const group = characters.slice(at, next);
    const single = group.map(({ text, start, end }) => ({ text: decomposed(text), start, end }));
    const joined = single.map(({ text }) => text).join('');
    // Only such marks: of the rest this engine takes apart what the reference, whose tables are older, leaves whole.
    const ordered = group.length > 1 ? joined.replace(PILE, (marks) => marks.normalize('NFD')) : joined;
    const pile = { text: ordered, start: group[0]?.start ?? 0, end: group.at(-1)?.end ?? 0 };
    for (const part of ordered === joined ? single : [pile]) {
      part.text = part.text.replace(MARKS, '');
      yield part;
    }
    at = next;
  }
}

function decomposed(character: string): string {
  return character > '~' && IS_DECOMPOSED.test(character) ? character.normalize('NFD') : character;
}
