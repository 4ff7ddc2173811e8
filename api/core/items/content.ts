// From the items and content parts of wire forms (our own, OpenAI's, Cohere's, Voyage's) to the items of the core.
import type { ContentPart, InputItem } from '../../../contracts/src/api/items.ts';
import { CoreError } from '../errors.ts';
import { imageBytes } from '../images/check.ts';
import type { Item, Part } from './items.ts';

/** A link stays what it is and is refused where images are read, with its place in the request. */
export function toPart(part: ContentPart): Part {
  if ('image_url' in part) return { image: typeof part.image_url === 'string' ? part.image_url : part.image_url.url };
  if ('image_base64' in part) return { image: part.image_base64 };
  return 'image' in part ? { image: part.image } : { text: part.text };
}

export function toItem(item: InputItem): Item {
  if (typeof item === 'string') return item;
  if ('content' in item) return { content: item.content.map(toPart) };
  return 'text' in item && 'image' in item ? { text: item.text, image: item.image } : toPart(item);
}

/** The item with its images as bytes. An image that cannot be read stays as it was sent, to be refused in its place. */
export function withBytes(item: Item): Item {
  if (typeof item === 'string') return item;
  if ('content' in item) return { content: item.content.map((part) => ('image' in part ? decoded(part) : part)) };
  return 'image' in item ? decoded(item) : item;
}

function decoded<T extends { image: string | Uint8Array }>(part: T): T {
  try {
    return { ...part, image: imageBytes(part.image) };
  } catch (error) {
    if (error instanceof CoreError) return part;
    throw error;
  }
}
