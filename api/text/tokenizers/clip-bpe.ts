// CLIP's byte-pair encoding, exact against Hugging Face's CLIPTokenizer with `split_special_tokens`: a special token's name is text.
import type { ClipBpeTokenizer } from '../../../contracts/src/model/tokenizer.ts';
import type { ReadArtefact, Tokenizer, Tokens } from '../engine.ts';
import { COMPOSED, JOINING, LETTER, NUMBER, WHITE } from './clip-bpe-classes.ts';
import { type Lowered, lowerCased } from './lower-case.ts';
import { createMerger } from './merges.ts';

/** Both runtimes have them; this box sees neither runtime's types. */
declare class TextDecoder {
  decode(bytes: ArrayBuffer): string;
}
declare class TextEncoder {
  encode(text: string): Uint8Array;
}

export async function openClipBpe(config: ClipBpeTokenizer, read: ReadArtefact): Promise<Tokenizer> {
  const vocabulary = new TextDecoder().decode(await read(config.vocabulary));
  const merges = new TextDecoder().decode(await read(config.merges));
  return createClipBpe({ vocabulary, merges }, config);
}

/** Ends the last symbol of a word in the vocabulary. */
const END = '</w>';

/** `vocabulary`: one piece per line, the line number is the id. `merges`: two pieces per line, the first line first. */
export function createClipBpe(
  files: { vocabulary: string; merges: string },
  { unk_id, cls_id, sep_id }: Pick<ClipBpeTokenizer, 'unk_id' | 'cls_id' | 'sep_id'>,
): Tokenizer {
  const pieces = linesOf(files.vocabulary);
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const merge = createMerger(linesOf(files.merges), ids);
  const inner = BYTES.map((symbol) => ids.get(symbol) ?? unk_id);
  const last = BYTES.map((symbol) => ids.get(symbol + END) ?? unk_id);
  // Only the bytes are looked up from here on.
  ids.clear();
  const utf8 = new TextEncoder();

  /** Appends the tokens of one word, which begins at `from` of the normalised text. */
  function readWord(word: string, { from, starts, ends }: Partial<Lowered> & { from: number }, tokens: Tokens): void {
    const symbols: number[] = [];
    /** Of each byte, where its character begins in the word. */
    const places: number[] = [];
    let at = 0;
    for (const character of word) {
      for (const byte of utf8.encode(character)) {
        symbols.push(inner[byte] ?? unk_id);
        places.push(at);
      }
      at += character.length;
    }
    const final = utf8.encode(word).at(-1) ?? 0;
    symbols[symbols.length - 1] = last[final] ?? unk_id;
    for (const { id, first, until } of merge(symbols)) {
      const begin = from + (places[first] ?? 0);
      // A token that ends within a character ends with it.
      const lastPlace = places[until - 1] ?? 0;
      const width = (word.codePointAt(lastPlace) ?? 0) > 0xffff ? 2 : 1;
      const end = from + lastPlace + width - 1;
      tokens.ids.push(id);
      tokens.starts.push(starts?.[begin] ?? begin);
      tokens.ends.push(ends?.[end] ?? end + 1);
    }
  }

  return {
    special: { before: [cls_id], after: [sep_id] },
    piece: (id) => (pieces[id] ?? '').replace(END, ''),
    unknown: unk_id,
    spells: true,
    seam(text, from) {
      SEAM.lastIndex = from;
      return from < text.length ? (SEAM.exec(text)?.index ?? text.length) : text.length;
    },
    encode(text) {
      const { units, ...places } = normalise(text);
      const tokens: Tokens = { ids: [], starts: [], ends: [], unknown: [] };
      for (const { 0: found, index } of units.matchAll(WORD)) {
        // The byte level splits once more, which takes these names apart and leaves every other word whole.
        const parts = SPECIAL.test(found) ? found.matchAll(SPECIAL_PARTS) : [{ 0: found, index: 0 }];
        for (const part of parts) readWord(part[0], { ...places, from: index + part.index }, tokens);
      }
      tokens.unknown = tokens.ids.map((id) => id === unk_id);
      return tokens;
    },
  };
}

function linesOf(file: string): string[] {
  const lines = file.split('\n');
  return lines.at(-1) === '' ? lines.slice(0, -1) : lines;
}

/** Of each byte its symbol, as GPT-2 writes them: printable characters stand for themselves, others for 256, 257 and so on. */
const BYTES = byteSymbols();
function byteSymbols(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

// ------------------------------------------------------------------------------- normalisation: NFC, lower case

const WORD = new RegExp(
  `<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[${LETTER}]+|[${NUMBER}]|[^${WHITE}${LETTER}${NUMBER}]+`,
  'gu',
);
const SPECIAL = /^<\|(?:startoftext|endoftext)\|>$/;
const SPECIAL_PARTS = /<\||[a-z]+|\|>/g;
/** Words end before these, whatever is around them. */
const SEAM = /[\t\n\r ]/g;
const PLAIN = /^[\t\n\r\x20-\x7e]*$/;
const IS_JOINING = new RegExp(`[${JOINING}]`, 'u');
const IS_COMPOSED = new RegExp(`[${COMPOSED}]`, 'u');

/** Places are absent where nothing moved. */
function normalise(text: string): Pick<Lowered, 'units'> & Partial<Lowered> {
  if (PLAIN.test(text)) return { units: text.toLowerCase() };
  return lowerCased(compose(text.toWellFormed()));
}

/** NFC, a character with what may join it at a time, which keeps the places. */
function* compose(text: string): Generator<{ text: string; start: number; end: number }> {
  let group: string[] = [];
  let start = 0;
  let end = 0;
  for (const character of text) {
    if (group.length > 0 && !IS_JOINING.test(character)) {
      yield* composedGroup(group, start);
      group = [];
      start = end;
    }
    group.push(character);
    end += character.length;
  }
  if (group.length > 0) yield* composedGroup(group, start);
}

/** A mark of a year that the reference does not know: it stays where it is, although this engine's NFC would move it. */
function isLaterMark(character: string): boolean {
  return !IS_JOINING.test(character) && !`${LAST_MARK}${character}`.normalize('NFC').startsWith(LAST_MARK);
}
/** Of the highest combining class: every other mark is put before it. */
const LAST_MARK = '\u0345';

function* composedGroup(group: string[], start: number): Generator<{ text: string; start: number; end: number }> {
  const [first = '', ...rest] = group;
  if (rest.length > 0 && isLaterMark(first)) {
    yield { text: first, start, end: start + first.length };
    yield* composedGroup(rest, start + first.length);
    return;
  }
  const whole = group.join('');
  const isChanged = group.length > 1 || IS_COMPOSED.test(whole);
  const composed = isChanged ? whole.normalize('NFC') : whole;
  if (composed !== whole) {
    yield { text: composed, start, end: start + whole.length };
    return;
  }
  let at = start;
  for (const text of group) {
    yield { text, start: at, end: at + text.length };
    at += text.length;
  }
}
