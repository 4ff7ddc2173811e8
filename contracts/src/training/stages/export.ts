// Stage `export`: the trained towers become files that a server reads, checked against PyTorch.
import * as z from 'zod';
import { ModelName } from '../../names.ts';
import { count, fraction, weight } from '../blocks.ts';

export const ExportConfig = z
  .strictObject({
    stage: z.literal('export').describe('Name of the stage.'),
    name: ModelName.describe('Name of the model, under which it is published.'),
    version: z.string().min(1).describe('Version of the model, as people count it.'),
    opset: count.describe('ONNX operator set of both graphs.'),
    image_weights: z.enum(['float16', 'int8']).describe("Number format of the image tower's weights."),
    static_weights: z
      .strictObject({
        student: weight.optional().describe('Of the student.'),
        tiny: weight.optional().describe('Of the tiny tier.'),
      })
      .optional()
      .describe(
        "What the static tier's vector weighs in a transformer's, instead of what it weighed in training: more of it knows " +
          'names better, less of it sentences.',
      ),
    parity_samples: count.describe('Dev captions, and as many images, that parity with PyTorch is measured on.'),
    min_mean_cosine: fraction.describe(
      'Export fails where the mean cosine to PyTorch is below this, with the rounding of the served graph and in float32.',
    ),
    max_mib: z
      .strictObject({
        student: count.describe('The student: graph, weights and table.'),
        tiny: count.describe('The tiny tier: graph, weights and table.'),
        static: count.describe('The static tier.'),
        all: count.describe('Everything, image tower included.'),
      })
      .describe('Export fails where the files of a tier have more MiB.'),
    min_worst_cosine: fraction.describe(
      'Export fails where one cosine to PyTorch with the rounding of the served graph is below this, or to float32 more than ' +
        'one in a hundred.',
    ),
    parents: z
      .array(
        z.strictObject({
          name: z.string().describe('What it is called.'),
          source: z.string().describe('Where it came from.'),
          licence: z.string().describe('Licence, as an SPDX identifier where there is one.'),
        }),
      )
      .describe('Weights and data that the model was made from: lineage in the manifest, a table in the model card.'),
    terms: z.string().describe('Sentences for the model card: under which terms the model may be used.'),
    limits: z.string().describe('Sentences for the model card: what the model was not made for.'),
  })
  .meta({ title: 'ExportConfig', description: 'Configuration of stage `export`.' });
