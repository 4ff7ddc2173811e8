// Whether a search found anything, from what GET /v1/models says of the model: what /similarity answers, computed in the page.

/**
 * @typedef {{counts: number[], scales: number[], biases: number[], absent_below: number[], present_above: number[]}} SearchVerdict
 * @typedef {{matches: 'yes' | 'no' | 'uncertain', probability: number}} Verdict
 */

/**
 * Of the cosine of the best hit among `count` things; the formulas are in docs/vectors.md.
 * @param {number} cosine @param {number} count @param {SearchVerdict} verdict
 * @returns {Verdict}
 */
export function judgeBest(cosine, count, { counts, scales, biases, absent_below, present_above }) {
  /** @param {number[]} values @param {number} least slope beyond the last count @param {number} most the same */
  const at = (values, least, most) => {
    const next = counts.findIndex((value) => value >= count);
    if (next === 0 || counts.length === 1) return values[0] ?? Number.NaN;
    const end = next < 0 ? counts.length - 1 : next;
    const [n0 = 0, n1 = 0, v0 = 0, v1 = 0] = [counts[end - 1], counts[end], values[end - 1], values[end]];
    const slope = (v1 - v0) / Math.log(n1 / n0);
    return next < 0
      ? v1 + Math.max(least, Math.min(most, slope)) * Math.log(count / n1)
      : v0 + slope * Math.log(count / n0);
  };
  const probability = 1 / (1 + Math.exp(-(at(scales, 0, 0) * cosine + at(biases, Number.NEGATIVE_INFINITY, 0))));
  if (cosine < at(absent_below, 0, Number.POSITIVE_INFINITY)) return { matches: 'no', probability };
  return { matches: cosine > at(present_above, 0, Number.POSITIVE_INFINITY) ? 'yes' : 'uncertain', probability };
}
