// Asks once more where the server has other models than the page knows: what is kept of those before is forgotten.
import { store } from '../photos/store.js';
import { chosen, readService } from '../service/models.js';
import { ServiceError } from '../service/requests.js';
import { forgetTexts } from '../service/texts.js';

/** What is refused where a model came since the page read which ones there are. */
const OUTDATED = new Set(['model_not_found', 'invalid_dimensions', 'space_mismatch']);

/** @template T @param {() => Promise<T>} ask @returns {Promise<T>} */
export async function withItsModels(ask) {
  const space = store.space();
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ServiceError) || !OUTDATED.has(error.code)) throw error;
    await readService();
    // Photos that were read again meanwhile are of the new model.
    const isOfBefore = error.code === 'space_mismatch' || chosen().entry.space_id !== space;
    if (isOfBefore && store.space() === space) dropOfBefore();
    return ask();
  }
}

/** The vectors of texts and photos alike; a notice says so, with a button that has the photos read again. */
export function dropOfBefore() {
  forgetTexts();
  // Its listeners ask again, which is not to go on without end.
  if (store.space() !== '') store.dropVectors();
}
