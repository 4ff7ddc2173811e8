// The tokens of texts with their places, and where a text that is too long would be cut.
import type { TruncationReceipt } from '../../contracts/src/api/embed.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import type { OffsetUnits, TextToken, TokenizeRequest } from '../../contracts/src/api/tasks/tokenize.ts';
import type { Tokenizer } from '../text/engine.ts';
import type { Engines } from './embed.ts';
import { CoreError } from './errors.ts';
import { placeItems } from './items/items.ts';
import { readText, specialOf, type TextReader } from './items/read.ts';
import { tokenizeInTurns } from './items/turns.ts';
import { checkItems } from './limits.ts';
import { chooseModel, type Model } from './model.ts';

export interface TokenizeInput {
  model?: string | undefined;
  input: string[];
  truncate?: TokenizeRequest['truncate'];
  units?: OffsetUnits | undefined;
  /** What the request calls its texts; absent: `input`. */
  field?: string;
}

export interface TokenizedText {
  tokens: TextToken[];
  truncation: TruncationReceipt;
}
export interface TokenizeOutput {
  model: string;
  context_length: number;
  texts: TokenizedText[];
}

export async function tokenize(model: Model, { admit }: Engines, asked: TokenizeInput): Promise<TokenizeOutput> {
  const { input, truncate = 'end', units = 'utf16', field = 'input' } = asked;
  const { id, tier } = chooseModel(model, asked.model);
  placeItems(input, field);
  checkItems(input.length, model.limits, field);
  const chars = input.reduce((sum, text) => sum + text.length, 0);
  if (chars > LIMITS.text_chars) {
    const message = `The texts have ${chars} characters together; the limit is ${LIMITS.text_chars}.`;
    throw new CoreError('text_too_long', message, { param: field });
  }
  const reader: TextReader = {
    tokenizer: await model.tokenizer(),
    manifest: model.manifest,
    tier,
    truncate,
    unknown: 'flag',
  };
  const texts = await admit({ kind: 'tokenizer', size: chars }, async (turn) => {
    const read: TokenizedText[] = [];
    for (const text of input) {
      const tokenizer = await tokenizeInTurns(text, reader.tokenizer, turn);
      read.push(tokensOf(text, { ...reader, tokenizer }, units));
    }
    return read;
  });
  return { model: id, context_length: model.manifest.text.context_length, texts };
}

function tokensOf(text: string, reader: TextReader, units: OffsetUnits): TokenizedText {
  const { tokenizer, truncate } = reader;
  const { before, after } = specialOf(reader);
  const read = tokenizer.encode(text);
  const { ids, starts, ends } = read;
  const special = (id: number): TextToken => {
    return { id, piece: tokenizer.piece(id), text: '', special: true, start: null, end: null, read: true };
  };
  // To embed nothing is refused, and so is what is not understood; which tokens a text has is an answer.
  const count = before.length + after.length;
  const nothing: TruncationReceipt = {
    truncated: false,
    tokens_seen: count,
    tokens_total: count,
    cut_at_char: null,
    tokens_unknown: 0,
    chars_unknown: 0,
    understood: false,
  };
  const known: Tokenizer = { ...tokenizer, encode: () => read };
  const truncation = ids.length === 0 ? nothing : readText(text, { ...reader, tokenizer: known }).truncation;
  const cut = truncation.tokens_total - truncation.tokens_seen;
  const [firstRead, end] = truncate === 'start' ? [cut, ids.length] : [0, ids.length - cut];
  const place = offsetsOf(text, units);
  const tokens = ids.map((id, index): TextToken => {
    const [start = 0, stop = 0] = [starts[index], ends[index]];
    return {
      id,
      piece: tokenizer.piece(id),
      text: text.slice(start, stop),
      special: false,
      start: place(start),
      end: place(stop),
      read: index >= firstRead && index < end,
    };
  });
  return { tokens: [...before.map(special), ...tokens, ...after.map(special)], truncation };
}

/** From an index in UTF-16 units to one in `units`. */
function offsetsOf(text: string, units: OffsetUnits): (index: number) => number {
  if (units === 'utf16') return (index) => index;
  const offsets = new Uint32Array(text.length + 1);
  let at = 0;
  let index = 0;
  for (const character of text) {
    offsets[index] = at;
    // The second half of a surrogate pair does not count as a place.
    if (character.length === 2) offsets[index + 1] = at;
    at += units === 'bytes' ? utf8Length(character.codePointAt(0) ?? 0) : 1;
    index += character.length;
  }
  offsets[index] = at;
  return (place) => offsets[place] ?? at;
}

/** Of a lone surrogate: that of U+FFFD, which stands for it in UTF-8. */
function utf8Length(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}
