// Stage `embed_captions`: the teachers embed every text once; later stages read the vectors.
import * as z from 'zod';
import { count, countOrNone, LanguageModel, Pooling, packing } from '../blocks.ts';

const limit = (kind: string) =>
  countOrNone.describe(`At most this many different ${kind} are embedded, the first ones; 0 leaves the kind out.`);

const LanguageModelTeacher = z
  .strictObject({
    type: z
      .literal('language_model')
      .describe('The language model that `contrastive` wrote, or without that block `mntp`; or the one named here.'),
    language_model: LanguageModel.optional().describe(
      'A model that is used as it is, without `mntp` and `contrastive`: a released text encoder such as ' +
        "LLM2CLIP's, or a folder of an earlier run. Absent: the one that this recipe tunes.",
    ),
  })
  .meta({ title: 'LanguageModelTeacher', description: 'A language model, tuned by this recipe or as it is.' });

const SentenceEncoderTeacher = z
  .strictObject({
    type: z.literal('sentence_encoder').describe('A pretrained sentence encoder, frozen.'),
    package: z
      .string()
      .describe('Python package that carries it in the Hugging Face layout; the mean of its token states is used.'),
  })
  .meta({ title: 'SentenceEncoderTeacher', description: 'A pretrained sentence encoder with a tokenizer of its own.' });

const ClipTextTeacher = z
  .strictObject({
    type: z
      .literal('clip_text')
      .describe(
        'The text encoder of a published two-tower checkpoint with its projection: vectors of the space of its pictures. It ' +
          'reads as many tokens as it was trained with, and pools as it was trained.',
      ),
    checkpoint: z
      .string()
      .describe(
        '`open_clip:MODEL@PRETRAINED` or `open_clip:local-dir:FOLDER`, as a backbone is named; or a folder in the layout of ' +
          'open_clip or transformers (CLIP, SigLIP).',
      ),
  })
  .meta({ title: 'ClipTextTeacher', description: 'The text tower of a two-tower checkpoint such as CLIP.' });

const Teacher = z
  .discriminatedUnion('type', [LanguageModelTeacher, SentenceEncoderTeacher, ClipTextTeacher])
  .meta({ title: 'Teacher', description: 'A frozen model that gives one part of the features of a text.' });

export const EmbedCaptionsConfig = z
  .strictObject({
    stage: z.literal('embed_captions').describe('Name of the stage.'),
    teachers: z
      .array(Teacher)
      .min(1)
      .describe('The features of a text are what these give for it, each at unit length, one after the other.'),
    pooling: Pooling,
    max_tokens: count.describe('Tokens of a text that are read.'),
    batch_tokens: count.describe('Tokens per forward pass, padding included.'),
    packing: packing.optional(),
    shard_size: count.describe('Texts that are embedded before they are written: what a kill loses at most.'),
    cut: z
      .enum(['texts', 'shards'])
      .optional()
      .describe(
        '`texts`: the different texts of all sets are embedded once, `shard_size` at a time. `shards`: captions are embedded ' +
          'shard by shard of their images, the different ones of a shard once, so that nobody holds all of them. Absent: ' +
          'shards above 50,000 train images, texts up to there.',
      ),
    store: z
      .enum(['bf16', 'int8'])
      .optional()
      .describe(
        'Numbers in which the features of captions of images are stored; int8 has one scale a text and takes half. Absent: ' +
          'bf16.',
      ),
    limits: z
      .strictObject({
        groups: limit('captions without images'),
        long: limit('long descriptions'),
        translations: limit('translated captions'),
        fragments: limit('short phrases'),
        concepts: countOrNone.describe(
          'At most this many texts of concepts are embedded, whole concepts in an arbitrary but fixed order; 0 leaves ' +
            'the kind out.',
        ),
      })
      .describe('How many texts of each kind are embedded.'),
    hard_negatives: count
      .optional()
      .describe(
        'At most this many wrong texts for every caption of a train image, for `clip.hard_negatives_weight`: the `negatives` of its ' +
          'row, and behind them captions in which words of a kind (colours, numbers, people, places) are exchanged. Absent: none.',
      ),
    regions: z
      .strictObject({
        negatives: countOrNone.describe(
          "At most this many wrong texts of every phrase, the region's own `negatives` first, as of `hard_negatives`; FG-CLIP has 10.",
        ),
      })
      .optional()
      .describe(
        'Whether the phrases of `regions` of images are embedded, for `clip.regions`; `clip` measures itself on those of dev. Absent: no.',
      ),
    concept_texts: z
      .strictObject({
        templates: z
          .array(z.string().includes('{}'))
          .describe('Templates that turn the name into texts; each contains {}. The bare name is embedded always.'),
        synonyms: countOrNone.describe('At most this many further names.'),
        gloss: z.boolean().describe('Whether the gloss becomes a text.'),
        hypernyms: countOrNone.describe('At most this many hypernyms, nearest first, as "NAME, a kind of HYPERNYM".'),
        widest_hypernym: z
          .number()
          .gt(0)
          .max(1)
          .optional()
          .describe(
            'Share of the classes of the class file that a hypernym covers at most, for `clip.hypernyms_weight`: wider ones say too ' +
              'little of a picture. Absent: 0.135, which leaves "animal" out.',
          ),
        descriptions: countOrNone.describe('At most this many descriptions.'),
      })
      .describe('The texts that are made of a concept.'),
    prompt_templates: z
      .array(z.string().includes('{}'))
      .describe('Templates that turn a class name into prompts; each contains {}.'),
  })
  .meta({ title: 'EmbedCaptionsConfig', description: 'Configuration of stage `embed_captions`.' });
