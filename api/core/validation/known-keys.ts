// Guesses the known key that an unknown one stands for: a slip of the pen, or another service's name for it.
import { editDistance } from '../../../contracts/src/user-error.ts';
import { NAMED, shortened, shortList } from '../errors.ts';

/** What services call one thing; the first known name of a group is suggested for the others. */
const SYNONYMS = [
  ['input', 'inputs', 'texts', 'text', 'prompt', 'prompts', 'content', 'sentences', 'documents', 'data', 'query'],
  ['image', 'image_url', 'image_base64', 'img', 'photo', 'picture', 'url', 'file'],
  ['images', 'image_urls', 'files', 'input', 'inputs'],
  ['types', 'encoding_format', 'output_dtype', 'embedding_types', 'embedding_type', 'dtype', 'precision'],
  ['dimensions', 'output_dimension', 'output_dimensionality', 'dims', 'size', 'truncate_dim'],
  ['truncate', 'truncation', 'auto_truncate', 'truncation_direction'],
  ['model', 'model_id', 'model_name', 'engine', 'deployment'],
  ['top_k', 'top_n', 'k', 'limit'],
  ['documents', 'texts', 'passages', 'candidates'],
  ['a', 'source_sentence', 'query', 'inputs', 'source', 'left'],
  ['b', 'sentences', 'documents', 'texts', 'targets', 'right'],
];

/**
 * `unknown` and what may be meant by it, as the end of a sentence; `known`: the keys that are taken there. A key that was
 * `sent` as well is not what another one stands for.
 */
export function describeUnknown(unknown: string[], known: string[], sent: readonly string[] = []): string {
  const keys = shortList(unknown);
  const absent = known.filter((key) => !sent.includes(key));
  for (const key of unknown.slice(0, NAMED)) {
    const meant = nearestKey(key, absent);
    if (meant)
      return unknown.length === 1
        ? `${keys}. Did you mean ${meant}?`
        : `${keys}. For ${shortened(key)}, did you mean ${meant}?`;
  }
  return known.length > 0 ? `${keys}. Taken are ${shortList(known)}.` : `${keys}.`;
}

export function nearestKey(unknown: string, known: string[]): string | undefined {
  const plain = plainName(unknown);
  const allowed = Math.max(1, Math.floor(plain.length / 3));
  const ranked = known
    .map((key) => ({ key, distance: editDistance(plain, plainName(key), allowed) }))
    .sort((a, b) => a.distance - b.distance);
  const [nearest] = ranked;
  if (nearest && nearest.distance <= Math.min(allowed, 2)) return nearest.key;
  const groups = SYNONYMS.filter((names) => names.some((name) => plainName(name) === plain));
  return groups.flat().find((name) => known.includes(name));
}

/** `topK`, `top-k` and `top_k` are one name. */
function plainName(key: string): string {
  return key.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}
