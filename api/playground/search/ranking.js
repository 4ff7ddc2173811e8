// The search itself: cosines of one vector with those of all photos, here in the page.

/** @typedef {import('../photos/store.js').Photo} Photo */

/**
 * The best first, equal ones in the order of the photos; photos without a vector are left out. Shorter vectors are the first numbers, brought to unit length.
 * @param {Float32Array} query @param {Photo[]} photos @param {number} dimensions
 * @returns {{photo: Photo, cosine: number}[]}
 */
export function rank(query, photos, dimensions) {
  const hits = [];
  for (const photo of photos) if (photo.vector) hits.push({ photo, cosine: cosineOf(query, photo.vector, dimensions) });
  return hits.sort((a, b) => b.cosine - a.cosine);
}

/** Of their first `dimensions` numbers. @param {Float32Array} a @param {Float32Array} b @param {number} dimensions */
export function cosineOf(a, b, dimensions) {
  let dot = 0;
  let squaresA = 0;
  let squaresB = 0;
  for (let i = 0; i < dimensions; i += 1) {
    const x = /** @type {number} */ (a[i]);
    const y = /** @type {number} */ (b[i]);
    dot += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  const length = Math.sqrt(squaresA * squaresB);
  return length > 0 ? Math.max(-1, Math.min(1, dot / length)) : 0;
}
