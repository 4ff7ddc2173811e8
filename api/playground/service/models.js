// The models that the service answers with and the limits of one request: read from it, never assumed.
import { element, make } from '../dom.js';
import { request } from './requests.js';

/** @typedef {{id: string, version: string, space_id: string, embed_dim: number, dimensions: number[], context_length: number, candidates: boolean, languages?: {language: string}[]}} ModelEntry */
/** @typedef {{items: number, images: number, text_chars: number, image_bytes: number, body_bytes: number}} Limits */

const tier = /** @type {HTMLSelectElement} */ (element('tier'));
const dimensions = /** @type {HTMLSelectElement} */ (element('dimensions'));
/** @type {ModelEntry[]} */
let models = [];
/** @type {Limits | undefined} */
let limits;

/** What one request may hold; asked for where the server has not said it yet. @returns {Promise<Limits>} */
export async function serviceLimits() {
  return limits ?? (await readService());
}

/** The model and length that are chosen now. */
export function chosen() {
  const entry = models.find(({ id }) => id === tier.value);
  if (!entry) throw new Error('The server has not said yet which models it has.');
  return {
    entry,
    model: entry.id,
    dimensions: Number(dimensions.value),
    isWhole: Number(dimensions.value) === entry.embed_dim,
  };
}

/** @returns {Promise<Limits>} */
export async function readService() {
  const [list, report] = await Promise.all([request('/v1/models'), request('/v1/limits')]);
  models = list.data;
  const was = tier.value;
  tier.replaceChildren(...models.map(({ id }) => make('option', { textContent: id })));
  if (models.some(({ id }) => id === was)) tier.value = was;
  for (const id of ['tier', 'dimensions']) /** @type {HTMLSelectElement} */ (element(id)).disabled = false;
  showModel();
  limits = report;
  return report;
}

/** @param {() => void} changed */
export function onChoice(changed) {
  tier.onchange = () => {
    showModel();
    changed();
  };
  dimensions.onchange = changed;
}

/** Its lengths, the chosen one kept where it has it, and what it is. */
function showModel() {
  const entry = models.find(({ id }) => id === tier.value);
  if (!entry) return;
  const was = dimensions.value;
  dimensions.replaceChildren(
    ...entry.dimensions.map((count) => make('option', { value: String(count), textContent: `${count} dimensions` })),
  );
  if (entry.dimensions.includes(Number(was))) dimensions.value = was;
  const { id, version, embed_dim, context_length, space_id, languages } = entry;
  const measured = languages?.length ? `, measured on ${languages.map(({ language }) => language).join(', ')}` : '';
  element('model').textContent =
    `${id} ${version}: ${embed_dim} dimensions, reads up to ${context_length} tokens of a text${measured}. Space ${space_id.slice(0, 19)}…`;
  element('model').title = space_id;
}
