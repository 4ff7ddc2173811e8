// Judges a search: whether anything matches, and how probable each hit is, in words before figures.
import { counted } from '../dom.js';
import { store } from '../photos/store.js';
import { judge } from '../service/judging.js';
import { chosen } from '../service/models.js';

/** @typedef {import('../photos/store.js').Photo} Photo */
/** @typedef {import('../photos/wall.js').Mark} Mark */
/** @typedef {{marks: (Mark | undefined)[], matches?: 'yes' | 'no' | 'uncertain' | undefined}} Finding */

/** Probabilities from which a hit is called so. */
const LIKELY = 0.5;
const PERHAPS = 0.2;

/** Whether the chosen model says at the chosen length how probable a match is. */
export const hasVerdict = () => chosen().entry.candidates && chosen().isWhole;

/**
 * Of the first hits, the best first; nothing where the model knows nothing of it.
 * @param {import('../service/judging.js').Judged} query @param {Photo[]} photos @param {AbortSignal} signal
 * @returns {Promise<Finding>}
 */
export async function findingOf(query, photos, signal) {
  if (!hasVerdict() || photos.length === 0) return { marks: [] };
  const { model, dimensions } = chosen();
  const judged = photos.map(({ vector }) => ({
    vector: vector ?? new Float32Array(),
    modality: /** @type {const} */ ('image'),
  }));
  const options = { model, dimensions, space: store.space(), candidates: store.count(), signal };
  const { rows, verdicts } = await judge([query], judged, options);
  const probabilities = (rows[0] ?? []).map(({ probability }) => probability);
  const matches = verdicts[0]?.matches ?? matchesOf(probabilities[0]);
  // The whole search is judged better than one hit is: none of nothing is likely.
  return { matches, marks: probabilities.map((probability) => markOf(probability, matches)) };
}

/** Where the service judges hits only, the best one decides. @param {number | null | undefined} best @returns {Finding['matches']} */
function matchesOf(best) {
  if (best === null || best === undefined) return undefined;
  if (best >= LIKELY) return 'yes';
  return best >= PERHAPS ? 'uncertain' : 'no';
}

/** @param {number | null} probability @param {Finding['matches']} matches @returns {Mark | undefined} */
function markOf(probability, matches) {
  if (probability === null) return undefined;
  const detail = `${Math.round(100 * probability)} % probable among ${counted(store.count(), 'photo')}`;
  if (probability >= LIKELY && matches === 'yes') return { level: 'likely', words: 'likely', detail };
  if (probability >= PERHAPS && matches !== 'no') return { level: 'perhaps', words: 'perhaps', detail };
  return { level: 'unlikely', words: 'unlikely', detail };
}

/** One sentence about all hits; undefined where there is nothing to say. @param {Finding} finding */
export function sentenceOf({ matches, marks }) {
  if (matches === undefined) return undefined;
  if (matches === 'no') return 'Nothing here seems to match. The nearest:';
  if (matches === 'uncertain') return 'Perhaps something here matches. The nearest:';
  const likely = marks.filter((mark) => mark?.level === 'likely').length;
  if (likely === 0) return 'Something here probably matches. The nearest:';
  return `${likely === marks.length && likely > 1 ? `${likely} or more` : likely} likely ${likely === 1 ? 'match' : 'matches'}`;
}
