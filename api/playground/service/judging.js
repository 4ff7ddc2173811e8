// Asks the service what cosines mean: of ready vectors, so that nothing is computed twice, in requests within the limits.
import { serviceLimits } from './models.js';
import { patiently, request, toBase64 } from './requests.js';

/** @typedef {{vector: Float32Array, modality: 'text' | 'image', receipt?: import('./texts.js').Receipt}} Judged a text with its receipt, which tells how short it is */
/** @typedef {{model: string, dimensions: number, space: string, candidates?: number | undefined, signal: AbortSignal}} Judging */

/** @typedef {{matches: 'yes' | 'no' | 'uncertain', probability: number}} Verdict of the service on a whole search */
/** @typedef {{probability: number | null, calibrated: number}} Judgement */

/**
 * Every a with every b: whether both mean the same and, with `candidates`, how probable a match is among so many, and
 * whether anything matches; the service may not know these two.
 * @param {Judged[]} a @param {Judged[]} b the best first @param {Judging} options
 * @returns {Promise<{rows: Judgement[][], verdicts: (Verdict | null | undefined)[]}>}
 */
export async function judge(a, b, { model, dimensions, space, candidates, signal }) {
  const { items } = await serviceLimits();
  const width = Math.max(1, Math.min(b.length, items - 1));
  const height = Math.min(a.length, Math.max(1, items - width));
  const written = (/** @type {Judged} */ { vector, modality, receipt }) => ({
    embedding: toBase64(vector),
    space_id: space,
    modality,
    ...(receipt ? { truncation: receipt } : {}),
  });
  /** @type {Judgement[][]} */
  const rows = a.map(() => []);
  /** @type {(Verdict | null | undefined)[]} */
  const verdicts = [];
  for (let top = 0; top < a.length; top += height) {
    for (let left = 0; left < b.length; left += width) {
      const sides = { a: a.slice(top, top + height).map(written), b: b.slice(left, left + width).map(written) };
      const body = { model, dimensions, ...sides, ...(candidates ? { candidates } : {}) };
      const answer = await patiently(() => request('/similarity', { body, signal }), { signal });
      for (const [index, row] of answer.calibrated.entries()) {
        const judged = row.map((/** @type {number} */ calibrated, /** @type {number} */ at) => ({
          calibrated,
          probability: answer.probabilities?.[index][at] ?? null,
        }));
        rows[top + index]?.push(...judged);
        // The best ones decide.
        if (left === 0) verdicts.push(answer.verdicts?.[index]);
      }
    }
  }
  return { rows, verdicts };
}
