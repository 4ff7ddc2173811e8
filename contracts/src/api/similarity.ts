// POST /similarity: two sides of any modality, or ready vectors, scored by cosine and by a calibrated probability.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { EmbeddingByType, EmbeddingType, Modality, OnError, Truncate, Usage } from './embed.ts';
import { ErrorMember } from './error.ts';
import { InputItem } from './items.ts';
import { LIMITS } from './limits.ts';

export const VectorItem = z
  .strictObject({
    embedding: z
      .union([z.array(z.number()).min(1), z.string(), EmbeddingByType])
      .describe('JSON numbers or base64, as `type` says, or an object by type, of which the most exact one is used.'),
    type: EmbeddingType.optional().describe(
      'How `embedding` is written. Absent: a list is `float` and a string `base64`, and a list of whole numbers that is ' +
        'not a unit vector is refused. `int8`, `uint8`, `binary` and `ubinary` may also be base64 of their bytes.',
    ),
    space_id: Digest.describe("The space it is in: another one than the model's is refused."),
    modality: Modality.optional().describe('What it stands for; without it there is no calibrated score.'),
    object: z.literal('embedding').optional().describe('Not used: items of an /embed answer are taken as they are.'),
    index: z.int().nonnegative().optional().describe('Not used: items of an /embed answer are taken as they are.'),
    truncation: z
      .looseObject({
        tokens_total: z.int().nonnegative().optional().describe('Tokens of the text.'),
      })
      .nullish()
      .describe(
        'Of a text, as /embed gives it: its `tokens_total` tells a short text, which is judged by verdicts of its own, on either ' +
          'side; absent: it is judged as a caption.',
      ),
    picture: z.unknown().optional().describe('Not used: items of an /embed answer are taken as they are.'),
    parts: z.unknown().optional().describe('Not used: items of an /embed answer are taken as they are.'),
  })
  .meta({ title: 'VectorItem', description: 'A ready vector, for example an item of an /embed answer.' });
export type VectorItem = z.infer<typeof VectorItem>;

export const SimilarityItem = z
  .union([InputItem, VectorItem], {
    error: 'must be text, an image or a ready vector ({"embedding": […], "space_id": …})',
  })
  .meta({ title: 'SimilarityItem', description: 'A text, an image, several of them together, or a ready vector.' });
export type SimilarityItem = z.infer<typeof SimilarityItem>;
const Side = z.union([SimilarityItem, z.array(SimilarityItem).meta({ maxItems: LIMITS.items })], {
  error: 'must be text, an image, a ready vector or a list of them',
});

export const SimilarityMode = z.enum(['matrix', 'pairs', 'top_k']).meta({
  title: 'SimilarityMode',
  description: '`matrix`: every a with every b. `pairs`: a[i] with b[i]. `top_k`: for every a the best `top_k` of b.',
});
export type SimilarityMode = z.infer<typeof SimilarityMode>;

export const SimilarityRequest = z
  .strictObject({
    model: z.string().optional().describe('Id of a model from GET /v1/models; absent: the first one.'),
    a: Side.describe('One item or a list of items.'),
    b: Side.describe('What they are scored against: one item or a list of items.'),
    mode: SimilarityMode.optional().describe('Which pairs are scored; absent: `matrix`.'),
    top_k: z.int().positive().optional().describe('Hits per item of `a`, in mode `top_k` only; absent: 10.'),
    dimensions: z
      .int()
      .positive()
      .optional()
      .describe(
        'Length that vectors are cut to before they are scored; absent: that of the shortest ready vector, else the full ' +
          "one. Needed for bits whose length is no multiple of 8: their last byte doesn't say how many of its bits count. Bits of " +
          "models whose `bits` are `rotated` cannot be cut: they are refused where it isn't their length.",
      ),
    truncate: Truncate.optional().describe('What happens to a text that is too long; absent: `end`.'),
    on_error: OnError.optional().describe('What happens when an item cannot be scored; absent: `fail`.'),
    candidates: z
      .int()
      .positive()
      .max(1e9)
      .optional()
      .describe(
        'How many things were searched for this answer, `b` being all of them or the best: scores then come with the ' +
          'probability that they match, given that any of so many may, or none, and with their percentile among random ' +
          'pairs, and every item of `a` with a verdict whether any of them matches. At full length only.',
      ),
  })
  .meta({ title: 'SimilarityRequest', description: 'Body of POST /similarity.' });
export type SimilarityRequest = z.infer<typeof SimilarityRequest>;

const Shared = {
  object: z.literal('similarity').describe('Name of this form.'),
  model: z.string().describe('Id of the model that answered.'),
  space_id: Digest.describe('The space of the vectors.'),
  dimensions: z.int().positive().describe('Length of the vectors that were scored.'),
  usage: Usage,
};
const NULL_WHERE =
  'null where a vector is of texts and images together, where a ready one names no modality, and where it is of bits, ' +
  'whose cosine is an estimate';
const UNLESS = `${NULL_WHERE}; and for tiers whose scores have no published distribution`;
const probability = z.number().nullable();
const PROBABILITY = 'With `candidates`: probability in 0..1 of a match, where one of them or none is expected to match';
const PERCENTILE = 'With `candidates`: percent in 0..100 of random pairs of these modalities whose cosine is lower';
export const Verdict = z
  .strictObject({
    matches: z
      .enum(['yes', 'no', 'uncertain'])
      .describe('`no` is said of one in ten searches for what is there at most, `yes` of one in ten for what is not.'),
    probability: z
      .number()
      .min(0)
      .max(1)
      .describe('That anything matches, where half of all searches are for something that is there.'),
  })
  .meta({ title: 'Verdict', description: 'Whether anything that was searched matches, by its best hit.' });
export type Verdict = z.infer<typeof Verdict>;
const verdicts = z
  .array(Verdict.nullable())
  .optional()
  .describe(
    'With `candidates`: for every item of `a` whether any of them matches; null where that of one of `b` cannot be said, as ' +
      'for `calibrated`. Absent where the model was published without verdicts.',
  );
const Hit = z
  .strictObject({
    index: z.int().nonnegative().describe('Index of the item in `b`.'),
    score: z.number().describe('Cosine in -1..1.'),
    calibrated: probability.describe(`Probability in 0..1 that both mean the same; ${NULL_WHERE}.`),
    probability: probability.optional().describe(`${PROBABILITY}; ${UNLESS}.`),
    percentile: probability.optional().describe(`${PERCENTILE}; ${UNLESS}.`),
  })
  .meta({ title: 'Hit', description: 'One of the best items of `b`.' });

/** The three forms of an answer. */
function formsOf<Cosine extends z.ZodType<number | null>, More extends z.ZodRawShape>(
  cosine: Cosine,
  more: More,
  { name, missing }: { name: string; missing: string },
) {
  const pairs = 'Probabilities in 0..1 of the same pairs';
  const matrix = z
    .strictObject({
      ...Shared,
      mode: z.literal('matrix').describe('Every a with every b.'),
      scores: z.array(z.array(cosine)).describe(`Cosines in -1..1; scores[i][j] is of a[i] and b[j]${missing}.`),
      calibrated: z.array(z.array(probability)).describe(`${pairs}; ${NULL_WHERE}.`),
      probabilities: z.array(z.array(probability)).optional().describe(`${PROBABILITY}; ${UNLESS}.`),
      percentiles: z.array(z.array(probability)).optional().describe(`${PERCENTILE}; ${UNLESS}.`),
      verdicts,
      ...more,
    })
    .meta({ title: `${name}Matrix`, description: 'Scores of every pair.' });
  const paired = z
    .strictObject({
      ...Shared,
      mode: z.literal('pairs').describe('a[i] with b[i].'),
      scores: z.array(cosine).describe(`Cosines in -1..1; scores[i] is of a[i] and b[i]${missing}.`),
      calibrated: z.array(probability).describe(`${pairs}; ${NULL_WHERE}.`),
      probabilities: z.array(probability).optional().describe(`${PROBABILITY}; ${UNLESS}.`),
      percentiles: z.array(probability).optional().describe(`${PERCENTILE}; ${UNLESS}.`),
      ...more,
    })
    .meta({ title: `${name}Pairs`, description: 'Scores of the pairs in order.' });
  const best = z
    .strictObject({
      ...Shared,
      mode: z.literal('top_k').describe('For every a the best of b.'),
      results: z.array(z.array(Hit)).describe('For every item of `a` its hits, the best first.'),
      verdicts,
      ...more,
    })
    .meta({ title: `${name}Hits`, description: 'The best of `b` for every item of `a`.' });
  return z.discriminatedUnion('mode', [matrix, paired, best]);
}

export const SimilarityResponse = formsOf(z.number(), {}, { name: 'Similarity', missing: '' }).meta({
  title: 'SimilarityResponse',
  description: 'Answer of POST /similarity.',
});
export type SimilarityResponse = z.infer<typeof SimilarityResponse>;

export const FailedSideItem = z
  .strictObject({
    side: z.enum(['a', 'b']).describe('The side that it is on.'),
    index: z.int().nonnegative().describe('Index of the item in its side.'),
    error: ErrorMember,
  })
  .meta({ title: 'FailedSideItem', description: 'An item that could not be scored, and why.' });
export type FailedSideItem = z.infer<typeof FailedSideItem>;

export const PartialSimilarityResponse = formsOf(
  z.number().nullable(),
  {
    errors: z
      .array(FailedSideItem)
      .describe('The items that could not be scored: they have null for every score, and are no hit.'),
  },
  { name: 'PartialSimilarity', missing: '; null where one of them has an error' },
).meta({
  title: 'PartialSimilarityResponse',
  description: 'Answer of POST /similarity with `on_error: partial`.',
});
export type PartialSimilarityResponse = z.infer<typeof PartialSimilarityResponse>;
