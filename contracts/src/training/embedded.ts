// What `embed_captions` writes, set by set: texts and their features, of which a stage may read some.

/** Sets of texts, as `embed_captions` names them. `pairs.SPLIT`: captions of the images of a split. */
const SETS = [
  'pairs.train',
  'pairs.dev',
  'pairs.unseen',
  'labels',
  'prompts',
  'hypernyms',
  'long.dev',
  'negatives.train',
  'groups.train',
  'long.train',
  'translations.train',
  'fragments.train',
  'concepts.train',
] as const;
type TextSet = (typeof SETS)[number];

/** The texts of a set, or the teachers' features of them. */
export type EmbeddedPart = `${'captions' | 'features'}.${TextSet}`;

/** The texts of these sets, and unless `texts` says that nothing else is read their features. */
const partsOf = (sets: readonly TextSet[], texts = false): EmbeddedPart[] =>
  sets.flatMap((set): EmbeddedPart[] => [`captions.${set}`, ...(texts ? [] : [`features.${set}` as const])]);

/** Which captions or prompts the adapter of `inherit` is regressed on. */
export function partsOfTarget(target: 'classifier_rows' | 'clip_text' | 'features'): EmbeddedPart[] {
  if (target === 'classifier_rows') return partsOf(['prompts']);
  return partsOf(target === 'features' ? ['pairs.train'] : ['pairs.train', 'groups.train', 'prompts']);
}

/** What `clip` learns from and measures itself on; the control reads the texts themselves. */
export function partsOfTowers(textTower: 'llm' | 'scratch', hardNegatives: number): EmbeddedPart[] {
  const sets: TextSet[] = ['pairs.train', 'pairs.dev', 'prompts', 'hypernyms', 'labels', 'long.dev'];
  return partsOf([...sets, ...(hardNegatives > 0 ? (['negatives.train'] as const) : [])], textTower === 'scratch');
}

/** What students learn from, and the captions of dev. */
export const PARTS_OF_STUDENTS: readonly EmbeddedPart[] = partsOf([
  ...(['pairs.train', 'groups.train', 'long.train', 'fragments.train', 'prompts', 'concepts.train'] as const),
  ...(['translations.train', 'pairs.dev'] as const),
]);

/** What zero-shot figures are made of. */
export const PARTS_OF_PROMPTS: readonly EmbeddedPart[] = partsOf(['prompts']);
