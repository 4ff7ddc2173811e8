// The model manifest: everything a server needs to answer with a published model, and where it came from.
import * as z from 'zod';
import { ModelName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { Artefact, Digest } from './artefact.ts';
import { Bits } from './bits.ts';
import { PreprocessRecipe } from './preprocess.ts';
import { Tier } from './tier.ts';
import { TextTokenizer } from './tokenizer.ts';
import { SearchVerdicts } from './verdict.ts';

const count = z.int().positive();

export const QuantizedTable = z
  .strictObject({
    file: Artefact.describe(
      'int8 rows, then one little-endian float32 scale per row: rows * width + rows * 4 bytes; value = int8 * scale.',
    ),
    rows: count.describe('One row per vocabulary entry.'),
    width: count.describe('Values per row.'),
  })
  .meta({ title: 'QuantizedTable', description: 'Embedding rows of the vocabulary, quantised per row.' });
export type QuantizedTable = z.infer<typeof QuantizedTable>;

export const OnnxGraph = z
  .strictObject({
    file: Artefact.describe('The graph.'),
    weights: z
      .strictObject({
        name: z.string().describe('Location that the graph names.'),
        file: Artefact.describe('The file itself.'),
      })
      .optional()
      .describe('External data file; absent when the weights are inside the graph.'),
    opset: count.describe('ONNX operator set.'),
  })
  .meta({ title: 'OnnxGraph', description: 'An ONNX graph and its weights.' });
export type OnnxGraph = z.infer<typeof OnnxGraph>;

export const TextPartition = z
  .strictObject({
    file: Artefact.describe(
      'ONNX graphs one after the other, which read the weights file of `graph`: first, one per layer but the last, last, ' +
        'head, as trainer/towers/graph_partition.py defines them.',
    ),
    rows: count.describe('Tokens of a text that one run computes at most.'),
    sizes: z.array(count).min(3).describe('Bytes of each graph, in the order of the file.'),
  })
  .meta({
    title: 'TextPartition',
    description: 'The text graph cut into short runs, so that other requests get their turn within a long text.',
  });
export type TextPartition = z.infer<typeof TextPartition>;

export const PackedWeights = z
  .strictObject({
    file: Artefact.describe(
      "The weights of `graph` as they lie in the linear memory of the Worker's own text engine, behind a header of 1,024 bytes.",
    ),
    layout: count.describe(
      'Number of the order in which they lie. An engine with another one packs the graph instead.',
    ),
  })
  .meta({
    title: 'PackedWeights',
    description: 'Weights packed once, by whoever publishes the model: a new isolate copies them into its memory.',
  });
export type PackedWeights = z.infer<typeof PackedWeights>;

const tower = {
  table: QuantizedTable,
  graph: OnnxGraph,
  partition: TextPartition.optional().describe('Absent: a text is one run of the whole graph.'),
  engine: z
    .enum(['own', 'onnxruntime'])
    .optional()
    .describe(
      'What runs `graph` in a Worker: `own`, the text engine of this project, or onnxruntime-web, which a Worker may be built ' +
        'without; absent: the engine reads the graph to find out.',
    ),
  packed: PackedWeights.optional().describe('For the engine `own`; absent: each isolate packs the weights of `graph`.'),
  width: count
    .optional()
    .describe('Values of a state between the graphs of `partition`; absent: as many as a row has.'),
  static_weight: z
    .number()
    .positive()
    .optional()
    .describe(
      "The static tier's vector, times this, is added to that of the graph, both at unit length; absent: it is not.",
    ),
};
export const TextTower = z.strictObject(tower).meta({
  title: 'TextTower',
  description:
    'A transformer: inputs `inputs_embeds` [B, T, table.width] and `attention_mask` [B, T], output `embedding` ' +
    '[B, embed_dim].',
});
export type TextTower = z.infer<typeof TextTower>;

export const StaticTable = z
  .strictObject({
    table: QuantizedTable,
    projection: QuantizedTable.optional().describe(
      'One row of `embed_dim` values per column of the table, which a sum of rows is multiplied with; absent: the rows ' +
        'of the table have `embed_dim` values.',
    ),
  })
  .meta({
    title: 'StaticTable',
    description:
      'The static tier: mean of the rows of known tokens, projected and L2-normalised; special tokens are left out.',
  });
export type StaticTable = z.infer<typeof StaticTable>;

export const Calibration = z
  .strictObject({
    scale: z.number().describe('Factor of the cosine.'),
    bias: z.number().describe('Added to the scaled cosine.'),
  })
  .meta({
    title: 'Calibration',
    description: 'Logistic map of a cosine, fitted on dev pairs: calibrated = 1 / (1 + exp(-(scale * cosine + bias))).',
  });
export type Calibration = z.infer<typeof Calibration>;

const ascending = (what: string) => z.array(z.number()).min(2).describe(what);
export const ScoreDistribution = z
  .strictObject({
    random: ascending('Quantiles of the cosines of random pairs, at `levels`.'),
    matching: ascending('Quantiles of the cosines of pairs that match, at `levels`.'),
    cosines: ascending('Where the likelihood ratio is given, ascending.'),
    log_ratios: z
      .array(z.number())
      .min(2)
      .describe(
        'Natural logarithm of how many times likelier each of `cosines` is for a pair that matches than for a random one; ' +
          'never falling. Linear in between, constant outside.',
      ),
  })
  .meta({ title: 'ScoreDistribution', description: 'Cosines of dev pairs of two modalities.' });
export type ScoreDistribution = z.infer<typeof ScoreDistribution>;

export const ScoreDistributions = z
  .strictObject({
    levels: ascending('Fractions of pairs in 0..1, of which `random` and `matching` are the quantiles.'),
    text_image: ScoreDistribution.describe('A caption with its image and with others.'),
    text_text: ScoreDistribution.describe('Captions of one image and of different ones.'),
    image_image: ScoreDistribution.describe('An image with its mirrored central crop and with others.'),
  })
  .meta({
    title: 'ScoreDistributions',
    description:
      'Cosines at full length between texts of the student and images of the dev split. Of things that were searched, the ' +
      'probability that one with cosine c matches is 1 / (1 + candidates / ratio(c)).',
  });
export type ScoreDistributions = z.infer<typeof ScoreDistributions>;

export const LanguageFigures = z
  .strictObject({
    language: z.string().min(2).describe('BCP 47 tag of the language.'),
    metrics: z.record(z.string(), z.number()).describe('Figures on dev data in that language, by name.'),
  })
  .meta({ title: 'LanguageFigures', description: 'A language that the model was measured on.' });
export type LanguageFigures = z.infer<typeof LanguageFigures>;

export const GoldenVector = z
  .strictObject({
    text: z.string().describe('What is embedded.'),
    tier: Tier.describe('With which tier.'),
    embedding: z.array(z.number()).describe('The published vector: full length, unit norm.'),
    min_cosine: z.number().min(0).max(1).describe('The least cosine between it and the recomputed one that passes.'),
  })
  .meta({ title: 'GoldenVector', description: 'What a server recomputes to verify that it runs this model.' });
export type GoldenVector = z.infer<typeof GoldenVector>;

const Parent = z
  .strictObject({
    name: z.string().describe('What it is called.'),
    source: z.string().describe('Where it came from.'),
    digest: Digest.optional().describe('SHA-256 of the file, where it is one file.'),
    licence: z.string().describe('Licence, as an SPDX identifier where there is one.'),
  })
  .meta({ title: 'LineageParent', description: 'Weights or data that the model was made from.' });

export const ModelManifest = z
  .strictObject({
    schema_version: SchemaVersion,
    name: ModelName.describe('Name of the model, under which it is published.'),
    version: z.string().min(1).describe('Version of the model, as people count it.'),
    created_at: z.iso.datetime().describe('When it was exported, in UTC.'),
    space_id: Digest.describe(
      'Digest over image tower, preprocessing and joint projection: vectors with different ids must not be compared.',
    ),
    embed_dim: count.describe('Dimensions of a whole vector.'),
    matryoshka_dims: z.array(count).min(1).describe('Lengths to which a vector may be cut, the full one included.'),
    text: z
      .strictObject({
        tokenizer: TextTokenizer,
        context_length: z.int().min(4).describe('Tokens of a text that are read, special tokens included.'),
        ...tower,
      })
      .describe('How texts are read, for all tiers, and the TextTower of the student.'),
    tiny: TextTower.optional().describe('The smaller transformer, which reads the same tokens; absent: there is none.'),
    static: StaticTable.optional().describe('The static tier; absent: there is none.'),
    image: z
      .strictObject({
        preprocess: PreprocessRecipe,
        graph: OnnxGraph,
        names: Artefact.optional().describe(
          'The tower under the names of the library that it was imported from, for exports: trainer/exchange/names.py says how. ' +
            'Servers do not read it; absent: it was not imported.',
        ),
      })
      .describe(
        'The image tower: input `pixels` [B, 3, height, width] as `preprocess` makes it, output `embedding` [B, embed_dim].',
      ),
    quantisation: z
      .strictObject({
        int8_scale: z
          .number()
          .positive()
          .describe('int8 = round(value * int8_scale), halves to even, clamped to -128..127.'),
        bits: Bits.optional().describe('What bits are the signs of; absent: `signs`.'),
      })
      .optional()
      .describe(
        'How vectors are written in whole numbers and bits, at every length; absent: a scale of 127, and `signs`.',
      ),
    calibration: z
      .strictObject({
        text_image: Calibration.describe('Between a text and an image.'),
        text_text: Calibration.describe('Between two texts.'),
        image_image: Calibration.describe('Between two images.'),
      })
      .describe('From cosines to probabilities, by the modalities of the pair.'),
    score_distributions: ScoreDistributions.optional().describe(
      'What /similarity needs for probabilities of single hits among `candidates`; absent: it gives none.',
    ),
    search_verdicts: z
      .partialRecord(Tier, SearchVerdicts)
      .optional()
      .describe('Whether a search with texts of that tier found anything; absent: there is no verdict.'),
    languages: z
      .array(LanguageFigures)
      .optional()
      .describe(
        'Languages that the model was measured on; absent: not recorded. Texts in others may mean nothing to it.',
      ),
    golden: z.array(GoldenVector).min(1).describe('Vectors that every server has to reproduce.'),
    metrics: z
      .record(z.string(), z.number())
      .describe('Figures on the dev split by name, such as `student.text_to_image_R@10` in 0..1.'),
    lineage: z
      .strictObject({
        recipe: z.string().describe('Name of the training recipe.'),
        code: Digest.describe('Digest of the source that exported it.'),
        parents: z.array(Parent).describe('Weights and data that it was made from.'),
      })
      .describe('Where the model came from.'),
  })
  .meta({ title: 'ModelManifest', description: 'Everything a server needs to answer with a model.' });
export type ModelManifest = z.infer<typeof ModelManifest>;
