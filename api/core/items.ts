// Items of a request, read and checked before anything is computed: texts become tokens, images become bytes.
import { LIMITS, type Truncate, type TruncationReceipt } from '../../contracts/src/api/embed.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import type { TokenIds, Tokenizer } from '../text/engine.ts';
import { CoreError } from './errors.ts';
import { checkImage, imageBytes } from './images/check.ts';
import type { Tier } from './model.ts';

/** A text or an image; an image as base64, as a data URI or as the bytes of its file. */
export type Item = string | { text: string } | { image: string | Uint8Array };

/** Where an item stands in the request, as errors name it. */
export interface Place {
  item: number;
  param: string;
}
export interface PlacedItem<T = Item> {
  item: T;
  place: Place;
}

export interface ReadText {
  modality: 'text';
  ids: TokenIds;
  truncation: TruncationReceipt;
}
export interface ReadImage {
  modality: 'image';
  file: Uint8Array;
}

/** What texts are read with. */
export interface TextReader {
  tokenizer: Tokenizer;
  manifest: ModelManifest;
  tier: Tier;
  truncate: Truncate;
}

/** `field`: the name of the list in the request. */
export function placeItems<T extends object | string>(items: T[], field: string): PlacedItem<T>[] {
  if (items.length === 0) throw new CoreError('empty_input', `${field} is an empty list.`, { param: field });
  checkCount(items.length, { field, what: 'items' });
  checkCount(items.filter(isImage).length, { field, what: 'images' });
  return items.map((item, index) => ({ item, place: { item: index, param: `${field}.${index}` } }));
}

function checkCount(count: number, { field, what }: { field: string; what: 'items' | 'images' }): void {
  if (count <= LIMITS[what]) return;
  const message = `${field} may hold ${LIMITS[what]} ${what}; ${count} were sent.`;
  throw new CoreError('too_many_items', message, { param: field });
}

function isImage(item: object | string): item is { image: string | Uint8Array } {
  return typeof item !== 'string' && 'image' in item;
}

export function readItem({ item, place }: PlacedItem, reader: TextReader): ReadText | ReadImage {
  if (isImage(item)) return readImage(item.image, place);
  return readText(typeof item === 'string' ? item : item.text, reader, place);
}

function readImage(image: string | Uint8Array, place: Place): ReadImage {
  try {
    const file = imageBytes(image);
    checkImage(file);
    return { modality: 'image', file };
  } catch (error) {
    throw error instanceof CoreError ? ofImage(error, place) : error;
  }
}

/** The same error, naming the image of the request. */
export function ofImage({ code, message }: CoreError, place: Place): CoreError {
  return new CoreError(code, `Image ${place.item}: ${message}`, { ...place });
}

/** Token ids within the context length, special tokens included where the tier has them, and the receipt. */
export function readText(text: string, { tokenizer, manifest, tier, truncate }: TextReader, place?: Place): ReadText {
  const name = place ? `Text ${place.item}` : 'The text';
  const fail = (code: 'text_too_long' | 'empty_input', problem: string) =>
    new CoreError(code, `${name} ${problem}`, { ...place });
  if (text.length > LIMITS.text_chars) {
    throw fail('text_too_long', `has ${text.length} characters; the limit is ${LIMITS.text_chars}.`);
  }
  const tokens = tokenizer.encode(text);
  const count = tokens.ids.length;
  if (count === 0) throw fail('empty_input', 'holds nothing to read (it is empty or white space).');
  const { before, after } = tier === 'student' ? tokenizer.special : { before: [], after: [] };
  const special = before.length + after.length;
  const length = manifest.text.context_length;
  const kept = Math.min(count, length - special);
  const isCut = kept < count;
  if (isCut && truncate === 'none') {
    const remedy = 'Shorten it or set truncate to start or end.';
    throw fail('text_too_long', `has ${count + special} tokens; the model reads ${length}. ${remedy}`);
  }
  const first = truncate === 'start' ? count - kept : 0;
  const edge = truncate === 'start' ? tokens.starts[first] : tokens.ends[kept - 1];
  return {
    modality: 'text',
    ids: [...before, ...tokens.ids.slice(first, first + kept), ...after],
    truncation: {
      truncated: isCut,
      tokens_seen: kept + special,
      tokens_total: count + special,
      cut_at_char: isCut ? (edge ?? null) : null,
    },
  };
}
