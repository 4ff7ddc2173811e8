// Texts as vectors: each is asked for once per model, in requests within the limits.
import { embedHere, isLocal } from './local.js';
import { chosen, readService, serviceLimits } from './models.js';
import { patiently, request, ServiceError, toVector } from './requests.js';

/** @typedef {{truncated: boolean, tokens_seen: number, tokens_total: number, cut_at_char: number | null, tokens_unknown: number, understood: boolean}} Receipt */
/** @typedef {{vector: Float32Array, space: string, receipt: Receipt}} EmbeddedText */

/** More than anybody types before they go. */
const KEPT = 500;
/** @type {Map<string, EmbeddedText>} */
const known = new Map();

/** @param {string[]} texts @param {{model: string, signal: AbortSignal}} options @returns {Promise<EmbeddedText[]>} */
async function embedTexts(texts, { model, signal }) {
  const place = (/** @type {string} */ text) => `${model}\n${text}`;
  if (known.size > KEPT) known.clear();
  const missing = [...new Set(texts)].filter((text) => !known.has(place(text)));
  const { items } = await serviceLimits();
  while (missing.length > 0) {
    const some = missing.splice(0, items);
    const body = { model, input: some, types: ['base64'], on_error: 'partial' };
    const ask = () => patiently(() => request('/embed', { body, signal }), { signal });
    const { data, space_id } = await (isLocal ? embedHere(some, model) : ask());
    for (const [index, text] of some.entries()) {
      const { embedding, truncation, error } = data[index];
      if (error) throw new ServiceError(error.code, refusedText(text, error));
      const vector = isLocal ? embedding : toVector(embedding);
      known.set(place(text), { vector, space: space_id, receipt: truncation });
    }
  }
  return texts.map((text) => /** @type {EmbeddedText} */ (known.get(place(text))));
}

/**
 * By the chosen model. What is not of `space`, that of the photos, was kept of the model before: it is asked for again, and what the
 * server has now.
 * @param {string[]} texts @param {{space: string, signal: AbortSignal}} options
 */
export async function embedTextsFor(texts, { space, signal }) {
  const embedded = await embedTexts(texts, { model: chosen().model, signal });
  if (space === '' || embedded.every((text) => text.space === space)) return embedded;
  forgetTexts();
  await readService();
  return embedTexts(texts, { model: chosen().model, signal });
}

/** The server has another model now. */
export const forgetTexts = () => known.clear();

/** In the page's words, where it has some. @param {string} text @param {{code: string, message: string}} error */
function refusedText(text, { code, message }) {
  const quoted = `“${text.length > 40 ? `${text.slice(0, 40)}…` : text}”`;
  if (code === 'not_understood') return `The model knows nothing of ${quoted}. Try other words, in English.`;
  return `${quoted}: ${message}`;
}
