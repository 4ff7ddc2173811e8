// Items of a request and the parts they consist of, each with its place in the request.
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { CoreError } from '../errors.ts';

export interface TextPart {
  text: string;
}
/** As base64, as a data URI or as the bytes of its file. */
export interface ImagePart {
  image: string | Uint8Array;
}
export type Part = TextPart | ImagePart;

/** What becomes one vector. Of several parts it is the mean of their unit vectors, at unit length. */
export type Item = string | TextPart | ImagePart | (TextPart & ImagePart) | { content: Part[] } | MissingItem;

/** An item that only named what it is, and could not be had. */
export interface MissingItem {
  missing: CoreError;
}

/** Where an item or a part of it stands in the request, as errors name it. */
export interface Place {
  item: number;
  param: string;
}
export interface PlacedItem<T = Item> {
  item: T;
  place: Place;
  /** Tokens of a text that are read at most, special ones not counted. */
  maxTokens?: number | undefined;
}
export interface PlacedPart extends Pick<PlacedItem, 'place' | 'maxTokens'> {
  part: Part;
}

/** `field`: the name of the list in the request. */
export function placeItems<T extends object | string>(items: T[], field: string): PlacedItem<T>[] {
  if (items.length === 0) throw new CoreError('empty_input', `${field} is an empty list.`, { param: field });
  checkCount(partsIn(items).length, { field, what: 'items' });
  checkCount(imagesIn(items), { field, what: 'images' });
  return items.map((item, index) => ({ item, place: { item: index, param: `${field}.${index}` } }));
}

/** Throws where two parts of a request have more images together than it may hold. */
export function checkImages(items: (object | string)[], [one, other]: [string, string]): void {
  checkCount(imagesIn(items), { field: other, what: 'images', name: `${one} and ${other} together` });
}

function partsIn(items: (object | string)[]): object[] {
  return items.flatMap((item): object[] => (isItem(item) ? partsOf(item).map(({ part }) => part) : [item]));
}

function imagesIn(items: (object | string)[]): number {
  return partsIn(items).filter((part) => 'image' in part).length;
}

interface Counted {
  field: string;
  what: 'items' | 'images';
  /** What the sentence calls it; absent: the field. */
  name?: string;
}

function checkCount(count: number, { field, what, name = field }: Counted): void {
  if (count <= LIMITS[what]) return;
  const message = `${name} may hold ${LIMITS[what]} ${what}, parts of items counted; ${count} were sent.`;
  throw new CoreError('too_many_items', message, { param: field });
}

/** False for what is not computed here, such as a ready vector. */
function isItem(item: object | string): item is Item {
  return typeof item === 'string' || 'text' in item || 'image' in item || 'content' in item;
}

/** `name`: of a part inside its item, where the item is not the part itself. */
export function partsOf(item: Item): { part: Part; name?: string }[] {
  if (typeof item === 'string') return [{ part: { text: item } }];
  if ('missing' in item) throw item.missing;
  if ('content' in item) return item.content.map((part, index) => ({ part, name: `content.${index}` }));
  if (!('text' in item && 'image' in item)) return [{ part: item }];
  return [
    { part: { text: item.text }, name: 'text' },
    { part: { image: item.image }, name: 'image' },
  ];
}

export function placeParts({ item, place, maxTokens }: PlacedItem): PlacedPart[] {
  const parts = partsOf(item);
  if (parts.length === 0) throw new CoreError('empty_input', `${place.param}.content is an empty list.`, { ...place });
  return parts.map(({ part, name }) => ({
    part,
    maxTokens,
    place: name === undefined ? place : { ...place, param: `${place.param}.${name}` },
  }));
}

/** What a sentence calls the thing in that place: `Text 3` of the input, `b.3` or `texts.3` where a list has a name. */
export function nameOf({ param }: Place, kind: 'Text' | 'Image' | 'Item'): string {
  return param.startsWith('input.') ? `${kind} ${param.slice('input.'.length)}` : param;
}
