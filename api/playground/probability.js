// What a hit of a search is captioned with: how probable a match is among as many photos, where the model can say.

/** @typedef {{id: string, embed_dim: number, candidates: boolean}} ModelEntry */

/**
 * Scores have probabilities at full length only, and only those of a model that knows how its scores are distributed.
 * @param {ModelEntry[]} models @param {{model: string, dimensions: number}} chosen @param {number} count
 */
export function candidatesOf(models, { model, dimensions }, count) {
  const entry = models.find(({ id }) => id === model);
  return entry?.candidates && dimensions === entry.embed_dim ? { candidates: count } : {};
}

/** @param {{score: number, probability?: number}} hit */
export function caption({ score, probability }) {
  const cosine = `cosine ${score.toFixed(2)}`;
  return probability === undefined ? cosine : `${Math.round(100 * probability)} % · ${cosine}`;
}
