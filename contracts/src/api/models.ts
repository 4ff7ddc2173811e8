// GET /v1/models and GET /health/*: what this server answers with, and whether it still does.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { Bits } from '../model/bits.ts';
import { LanguageFigures } from '../model/manifest.ts';
import { Tier } from '../model/tier.ts';
import { SearchVerdicts } from '../model/verdict.ts';
import { EmbeddingType, Modality } from './embed.ts';
import { Limits } from './limits.ts';

const count = z.int().positive();

export const ModelEntry = z
  .strictObject({
    id: z.string().describe('What a request names as `model`.'),
    object: z.literal('model').describe("OpenAI's name of this form."),
    created: z.int().nonnegative().describe('When the model was exported, in Unix seconds.'),
    owned_by: z.string().describe('Who publishes it.'),
    version: z.string().describe('Version of the model.'),
    tier: Tier,
    modalities: z.array(Modality).min(1).describe('What it embeds.'),
    space_id: Digest.describe('The space of its vectors: those of different spaces must not be compared.'),
    embed_dim: count.describe('Dimensions of a whole vector.'),
    dimensions: z
      .array(count)
      .min(1)
      .describe(
        'Lengths that the model was trained to be cut to, the full one first. `dimensions` takes any whole number from 1 ' +
          'to `embed_dim`; between two of these the results lie between theirs.',
      ),
    context_length: count.describe('Tokens of a text that are read before it is cut.'),
    types: z.array(EmbeddingType).min(1).describe('How its vectors can be written.'),
    int8_scale: z
      .number()
      .positive()
      .describe('What numbers are multiplied with for `int8` and `uint8`, at every length.'),
    bits: Bits,
    candidates: z.boolean().describe('Whether POST /similarity takes `candidates` for it.'),
    search_verdicts: SearchVerdicts.optional().describe(
      'What its verdicts come from, for whoever searches where the vectors are; absent: it gives none.',
    ),
    limits: Limits,
    metrics: z
      .record(z.string(), z.number())
      .describe('Figures on the dev split by name, which the model was published with.'),
    languages: z
      .array(LanguageFigures)
      .optional()
      .describe(
        'Languages that the model was measured on; absent: not recorded. Texts in others may mean nothing to it.',
      ),
  })
  .meta({
    title: 'ModelEntry',
    description: "OpenAI's model object and what a caller must know before storing vectors.",
  });
export type ModelEntry = z.infer<typeof ModelEntry>;

export const ModelList = z
  .strictObject({
    object: z.literal('list').describe("OpenAI's name of this form."),
    data: z
      .array(ModelEntry)
      .min(1)
      .describe('Models that a request may name; the first one answers where none is named.'),
  })
  .meta({ title: 'ModelList', description: 'Answer of GET /v1/models.' });
export type ModelList = z.infer<typeof ModelList>;

export const LiveReport = z
  .strictObject({ status: z.literal('ok').describe('The process answers.') })
  .meta({ title: 'LiveReport', description: 'Answer of GET /health/live.' });
export type LiveReport = z.infer<typeof LiveReport>;

export const GoldenCheck = z
  .strictObject({
    tier: Tier.describe('What computed the vector.'),
    cosine: z.number().describe('Cosine of the recomputed vector to the published one, in -1..1.'),
    min_cosine: z.number().describe('The least that passes.'),
  })
  .meta({ title: 'GoldenCheck', description: 'A golden vector, computed again.' });
export type GoldenCheck = z.infer<typeof GoldenCheck>;

export const ReadyReport = z
  .strictObject({
    status: z.literal('ok').describe('The model computes what it was published with.'),
    model: z.string().describe('Name of the model.'),
    version: z.string().describe('Its version.'),
    space_id: Digest.describe('The space of its vectors.'),
    golden: z.array(GoldenCheck).min(1).describe('The golden vectors and how close they came.'),
  })
  .meta({ title: 'ReadyReport', description: 'Answer of GET /health/ready.' });
export type ReadyReport = z.infer<typeof ReadyReport>;
