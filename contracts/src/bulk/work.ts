// Counts the work in what is asked for, before anything of it is read in full: images, and about how many tokens.
import type { BulkWork } from '../cloud/bulk-estimate.ts';
import { CHARS_A_TOKEN } from '../cloud/rates.ts';

/** The most that the embedded model reads of a text. */
const CONTEXT_TOKENS = 512;
/** What a line, an item of a request or a part of one calls an image. */
const IMAGE_KEYS = ['image', 'image_url', 'image_base64', 'path', 'uri'];
/** What holds texts and images itself. */
const HOLDERS = ['text', 'content', 'body', 'input'];
/** The part of an item of a line of a batch; what lies deeper is no item, and could be as deep as the stack. */
const DEPTH = 8;

export const noWork = (): BulkWork => ({ images: 0, tokens: 0 });

export function addWork(sum: BulkWork, { images, tokens }: BulkWork): void {
  sum.images += images;
  sum.tokens += tokens;
}

/** Of a line or a part of it, in any form that a line may have; what is neither text nor image counts nothing. */
export function workIn(value: unknown, depth = DEPTH): BulkWork {
  const work = noWork();
  if (depth === 0) return work;
  if (typeof value === 'string') work.tokens = Math.min(CONTEXT_TOKENS, Math.ceil(value.length / CHARS_A_TOKEN));
  else if (Array.isArray(value)) for (const part of value) addWork(work, workIn(part, depth - 1));
  else if (typeof value === 'object' && value !== null) {
    for (const [key, held] of Object.entries(value)) {
      if (IMAGE_KEYS.includes(key)) work.images += 1;
      else if (HOLDERS.includes(key)) addWork(work, workIn(held, depth - 1));
    }
  }
  return work;
}
