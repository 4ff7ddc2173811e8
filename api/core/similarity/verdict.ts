// Whether a search found anything: by the cosine of its best hit and by how many things were searched.
import type { Modality } from '../../../contracts/src/api/embed.ts';
import type { Verdict } from '../../../contracts/src/api/similarity.ts';
import type { SearchVerdict, SearchVerdicts } from '../../../contracts/src/model/verdict.ts';
import { logistic } from './logistic.ts';

/** A search's cosine with one of the candidates. */
export interface Found {
  score: number;
  /** What searched and what was found; undefined where that is not known or the cosine is an estimate. */
  modalities: [Modality, Modality] | undefined;
  /** Of the text that was found, as its receipt counts them; undefined where that is not known, or it is not a text. */
  tokens?: number | undefined;
}

export interface Search {
  /** All that was searched, or the best of it. */
  found: Found[];
  /** How many things were searched. */
  count: number;
  /** Of the text that searched, as its receipt counts them; undefined where that is not known, or it is not a text. */
  tokens: number | undefined;
}

/**
 * Where what was found is of several modalities, the surer one decides. Undefined where one of them cannot be judged: it may
 * match.
 */
export function judgeSearch({ found, count, tokens }: Search, verdicts: SearchVerdicts): Verdict | undefined {
  const best = new Map<SearchVerdict, number>();
  for (const { score, modalities, tokens: foundTokens } of found) {
    const verdict = modalities && verdictOf(modalities, [tokens, foundTokens], verdicts);
    if (!verdict) return undefined;
    best.set(verdict, Math.max(score, best.get(verdict) ?? -1));
  }
  const judged = [...best].map(([verdict, score]) => judgeBest(score, count, verdict));
  return judged.sort((a, b) => b.probability - a.probability)[0];
}

/** `score`: the cosine of the best hit. */
export function judgeBest(score: number, count: number, verdict: SearchVerdict): Verdict {
  const { counts, scales, biases, absent_below, present_above } = verdict;
  const at = (values: number[], past: Past) => amongCount(count, { counts, values, past });
  const probability = logistic(score, { scale: at(scales, 'stays'), bias: at(biases, 'falls') });
  if (score < at(absent_below, 'rises')) return { matches: 'no', probability };
  return { matches: score > at(present_above, 'rises') ? 'yes' : 'uncertain', probability };
}

function verdictOf(
  [a, b]: [Modality, Modality],
  tokens: [number | undefined, number | undefined],
  verdicts: SearchVerdicts,
): SearchVerdict | undefined {
  if (a === 'mixed' || b === 'mixed') return undefined;
  const { short_texts: short } = verdicts;
  const isShort = (modality: Modality, count: number | undefined) =>
    short !== undefined && modality === 'text' && count !== undefined && count <= short.max_tokens;
  const [shortA, shortB] = [isShort(a, tokens[0]), isShort(b, tokens[1])];
  let exception: SearchVerdict | undefined;
  // Two short texts are compared as longer ones are: both lack what a name lacks beside a sentence.
  if (shortA && !shortB) exception = b === 'text' ? short?.text_text : short?.text_image;
  if (shortB && !shortA) exception = a === 'text' ? short?.long_text : short?.image_text;
  return exception ?? verdicts[`${a}_${b}`];
}

/** How a number may go on beyond the largest count: among more things, chance hits are nearer. */
type Past = 'stays' | 'falls' | 'rises';

/** Linear in the logarithm of the count; constant before the first one. */
function amongCount(
  count: number,
  { counts, values, past }: { counts: number[]; values: number[]; past: Past },
): number {
  const next = counts.findIndex((value) => value >= count);
  if (next === 0 || counts.length === 1) return values[0] ?? Number.NaN;
  const end = next < 0 ? counts.length - 1 : next;
  const [x0 = 0, x1 = 0, y0 = 0, y1 = 0] = [counts[end - 1], counts[end], values[end - 1], values[end]];
  const slope = (y1 - y0) / Math.log(x1 / x0);
  if (next >= 0) return y0 + slope * Math.log(count / x0);
  const onward = { stays: 0, falls: Math.min(0, slope), rises: Math.max(0, slope) }[past];
  return y1 + onward * Math.log(count / x1);
}
