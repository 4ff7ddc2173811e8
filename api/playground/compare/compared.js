// Chooses the photos of the heat map: a few, the first ones until the user chooses.
import { store } from '../photos/store.js';
import { entriesOfWall } from '../photos/wall.js';

/** @typedef {import('../photos/store.js').Photo} Photo */

/** As many columns as can be read. */
const MOST = 12;
const AT_FIRST = 8;
/** By their bytes: a photo that is read again is another one, and the same to whoever chose it. @type {string[] | undefined} */
let keys;

/** @returns {Photo[]} */
export function compared() {
  const photos = store.all();
  const byKey = new Map(photos.map((photo) => [photo.key, photo]));
  const those = keys ? keys.map((key) => byKey.get(key)) : photos.slice(0, AT_FIRST);
  return those.filter((photo) => photo?.vector !== undefined).map((photo) => /** @type {Photo} */ (photo));
}

/** @param {Photo} photo */
export const isCompared = ({ key }) => compared().some((photo) => photo.key === key);

/** One more takes the place of the one that is there longest. @param {Photo} photo */
export function toggleCompared({ key }) {
  const now = compared().map((photo) => photo.key);
  keys = now.includes(key) ? now.filter((other) => other !== key) : [...now, key].slice(-MOST);
}

/** What the search shows first. */
export function compareFound() {
  keys = entriesOfWall()
    .slice(0, AT_FIRST)
    .map(({ photo }) => photo.key);
}
