// Parts of items, read and checked before anything is computed: texts become tokens, images become bytes.
import type { Truncate, TruncationReceipt } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { TokenIds, Tokenizer, Tokens } from '../../text/engine.ts';
import { CoreError } from '../errors.ts';
import { checkImage, imageBytes } from '../images/check.ts';
import type { ImageHeader } from '../images/header.ts';
import type { Tier } from '../model.ts';
import { nameOf, type Place, type PlacedPart } from './items.ts';

export interface ReadText {
  modality: 'text';
  ids: TokenIds;
  truncation: TruncationReceipt;
}
export interface ReadImage {
  modality: 'image';
  file: Uint8Array;
  header: ImageHeader;
  pixels: number;
}

/** How an image begins that was written where a text stands; such a text is never meant to be read. */
const IMAGE_URI = /^\s*data:image\/[^,]{1,100};\s*base64\s*,/i;

/** What texts are read with. */
export interface TextReader {
  tokenizer: Tokenizer;
  manifest: ModelManifest;
  tier: Tier;
  truncate: Truncate;
  /** Tokens that are read at most, special ones not counted; absent: what the model reads. */
  maxTokens?: number | undefined;
  /**
   * What becomes of a text of which no token is known: refused, or flagged in its receipt. Absent: refused by the static
   * tier where that has no vector for it, and flagged otherwise.
   */
  unknown?: 'refuse' | 'flag' | undefined;
}

export function readPart({ part, place, maxTokens }: PlacedPart, reader: TextReader): ReadText | ReadImage {
  return 'image' in part ? readImage(part.image, place) : readText(part.text, { ...reader, maxTokens }, place);
}

function readImage(image: string | Uint8Array, place: Place): ReadImage {
  try {
    const file = imageBytes(image);
    const header = checkImage(file);
    return { modality: 'image', file, header, pixels: header.width * header.height };
  } catch (error) {
    throw error instanceof CoreError ? ofImage(error, place) : error;
  }
}

/** The same error, naming the image of the request. */
export function ofImage({ code, message, details }: CoreError, place: Place): CoreError {
  return new CoreError(code, `${nameOf(place, 'Image')}: ${message}`, { ...details, ...place });
}

/** Token ids within the context length, special tokens included where the tier has them, and the receipt. */
export function readText(text: string, reader: TextReader, place?: Place): ReadText {
  const { tokenizer, manifest, tier, truncate, maxTokens = Number.POSITIVE_INFINITY } = reader;
  const { unknown = tier === 'static' && !tokenizer.spells ? 'refuse' : 'flag' } = reader;
  const name = place ? nameOf(place, 'Text') : 'The text';
  const fail = (code: 'text_too_long' | 'empty_input' | 'not_understood' | 'wrong_type', problem: string) =>
    new CoreError(code, `${name} ${problem}`, { ...place });
  if (IMAGE_URI.test(text.slice(0, 200))) {
    throw fail(
      'wrong_type',
      'is the data URI of an image: send it as an image, {"image": "data:image/jpeg;base64,…"}.',
    );
  }
  if (text.length > LIMITS.text_chars) {
    throw fail(
      'text_too_long',
      `has ${text.length} characters; a text may have ${LIMITS.text_chars}, cut or not: send it in parts.`,
    );
  }
  const tokens = tokenizer.encode(text);
  const count = tokens.ids.length;
  if (count === 0) throw fail('empty_input', 'holds nothing to read (it is empty or white space).');
  const { before, after } = specialOf(reader);
  const special = before.length + after.length;
  const length = manifest.text.context_length;
  const kept = Math.min(count, length - special, maxTokens);
  const isCut = kept < count;
  if (isCut && truncate === 'none') {
    const problem =
      kept === maxTokens
        ? `has ${count} tokens, special ones not counted; the request allows ${kept}`
        : `has ${count + special} tokens; the model reads ${length}`;
    // Doors have names of their own for the option, and it was set: nothing refuses to cut by itself.
    throw fail('text_too_long', `${problem}. Shorten it, or allow that it is cut, which the request forbids.`);
  }
  const first = truncate === 'start' ? count - kept : 0;
  const edge = truncate === 'start' ? tokens.starts[first] : tokens.ends[kept - 1];
  const missing = countUnknown(tokens, { first, kept, id: tokenizer.unknown });
  const understood = missing.tokens < kept;
  if (!understood && unknown === 'refuse') {
    throw fail('not_understood', 'holds no word that the model knows: nothing of it is in the vocabulary.');
  }
  return {
    modality: 'text',
    ids: [...before, ...tokens.ids.slice(first, first + kept), ...after],
    truncation: {
      truncated: isCut,
      tokens_seen: kept + special,
      tokens_total: count + special,
      cut_at_char: isCut ? (edge ?? null) : null,
      tokens_unknown: missing.tokens,
      chars_unknown: missing.chars,
      understood,
    },
  };
}

/** The special tokens that the tier reads around a text. */
export function specialOf({ tokenizer, tier }: Pick<TextReader, 'tokenizer' | 'tier'>): Tokenizer['special'] {
  return tier === 'static' ? { before: [], after: [] } : tokenizer.special;
}

function countUnknown(
  { ids, starts, ends, unknown }: Tokens,
  { first, kept, id }: { first: number; kept: number; id: number },
): { tokens: number; chars: number } {
  let tokens = 0;
  let chars = 0;
  for (let i = first; i < first + kept; i++) {
    if (!(unknown?.[i] ?? ids[i] === id)) continue;
    tokens += 1;
    // Several tokens may spell one character.
    if (i === first || starts[i] !== starts[i - 1]) chars += (ends[i] ?? 0) - (starts[i] ?? 0);
  }
  return { tokens, chars };
}
