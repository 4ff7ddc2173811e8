// From the items and content parts of wire forms (our own, OpenAI's, Cohere's, Voyage's) to the items of the core.
import type { ContentPart, InputItem } from '../../../contracts/src/api/items.ts';
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
