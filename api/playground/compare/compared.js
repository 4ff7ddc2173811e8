// Chooses the photos of the heat map: a few, the first ones until the user chooses.
import { store } from '../photos/store.js';
import { entriesOfWall } from '../photos/wall.js';

/** @typedef {import('../photos/store.js').Photo} Photo */

/** As many columns as can be read. */
const MOST = 12;
const AT_FIRST = 8;
/** @type {number[] | undefined} */
let ids;

/** @returns {Photo[]} */
export function compared() {
  const photos = ids ? ids.map((id) => store.get(id)) : store.all().slice(0, AT_FIRST);
  return photos.filter((photo) => photo?.vector !== undefined).map((photo) => /** @type {Photo} */ (photo));
}

/** @param {Photo} photo */
export const isCompared = ({ id }) => compared().some((photo) => photo.id === id);

/** One more takes the place of the one that is there longest. @param {Photo} photo */
export function toggleCompared({ id }) {
  const now = compared().map((photo) => photo.id);
  ids = now.includes(id) ? now.filter((other) => other !== id) : [...now, id].slice(-MOST);
}

/** What the search shows first. */
export function compareFound() {
  ids = entriesOfWall()
    .slice(0, AT_FIRST)
    .map(({ photo }) => photo.id);
}
