// Text Embeddings Inference's and Hugging Face's bodies: `inputs` in, bare lists out.
import * as z from 'zod';
import { Digest } from '../../model/artefact.ts';
import type { Operation } from '../operation.ts';
import { InfinityRerankRequest, InfinityRerankResponse } from './infinity.ts';

const model = z
  .string()
  .optional()
  .describe('Id of a model from GET /v1/models; absent: the first one. TEI serves one model and has no such field.');
const truncation = {
  truncate: z
    .boolean()
    .optional()
    .describe('What happens to a text that is too long. true or absent: it is cut. false: it is refused.'),
  truncation_direction: z
    .enum(['left', 'right', 'Left', 'Right'])
    .optional()
    .describe('Which end of a text that is too long is cut off; absent: `right`.'),
};
const normalize = z
  .literal(true)
  .optional()
  .describe('Vectors of this space are always at unit length: `false` is refused.');
const options = z
  .unknown()
  .optional()
  .describe('Taken and not used: caching and waiting, as clients of the Hugging Face API ask for them.');

export const TeiEmbedRequest = z
  .strictObject({
    inputs: z.union([z.string(), z.array(z.string())]).describe('One text or a list of texts.'),
    model,
    ...truncation,
    normalize,
    dimensions: z.int().positive().optional().describe('Length of the vectors; absent: the full length.'),
    encoding_format: z.literal('float').optional().describe('JSON numbers, the only form of this answer.'),
    parameters: z
      .strictObject({ ...truncation, normalize })
      .optional()
      .describe('The same options, where clients put them one level lower.'),
    options,
  })
  .meta({ title: 'TeiEmbedRequest', description: "TEI's body of POST /embed, and feature extraction." });
export type TeiEmbedRequest = z.infer<typeof TeiEmbedRequest>;

export const TeiEmbedResponse = z.array(z.array(z.number())).meta({
  title: 'TeiEmbedResponse',
  description: "TEI's answer: one unit vector per text, in the order of `inputs`.",
});
export type TeiEmbedResponse = z.infer<typeof TeiEmbedResponse>;

export const TeiSimilarityRequest = z
  .strictObject({
    inputs: z
      .strictObject({
        source_sentence: z.string().describe('The text that the others are compared with.'),
        sentences: z.array(z.string()).describe('The others.'),
      })
      .describe('One text and those that it is compared with.'),
    model,
    parameters: z.strictObject(truncation).optional().describe('What happens to texts that are too long.'),
    options,
  })
  .meta({ title: 'TeiSimilarityRequest', description: "TEI's body of POST /similarity, and sentence similarity." });
export type TeiSimilarityRequest = z.infer<typeof TeiSimilarityRequest>;

export const TeiSimilarityResponse = z.array(z.number()).meta({
  title: 'TeiSimilarityResponse',
  description: "TEI's answer: the cosine of each sentence to the source sentence, in -1..1.",
});
export type TeiSimilarityResponse = z.infer<typeof TeiSimilarityResponse>;

export const TeiTokenizeRequest = z
  .strictObject({
    inputs: z.union([z.string(), z.array(z.string())]).describe('One text or a list of texts.'),
    model,
    add_special_tokens: z
      .boolean()
      .optional()
      .describe('Whether the tokens that the model adds are shown; absent: true.'),
  })
  .meta({ title: 'TeiTokenizeRequest', description: "TEI's body of POST /tokenize." });
export type TeiTokenizeRequest = z.infer<typeof TeiTokenizeRequest>;

export const ZeroShotRequest = z
  .strictObject({
    inputs: z
      .union([z.string(), z.strictObject({ image: z.string().describe('Base64 of an image file.') })], {
        error: 'must be a text, base64 of an image file, or {"image": base64}',
      })
      .describe('A text, or an image as base64 or a data URI: what is base64 of an image file is taken for one.'),
    parameters: z
      .strictObject({
        candidate_labels: z.array(z.string()).describe('Names of the labels.'),
        hypothesis_template: z.string().optional().describe('A sentence in which {} stands for a name.'),
        multi_label: z
          .boolean()
          .optional()
          .describe(
            'true: each score is the probability that the label fits, by itself. false or absent: they add up to 1.',
          ),
      })
      .describe('The labels.'),
    model,
    options,
  })
  .meta({ title: 'ZeroShotRequest', description: 'Zero-shot classification of a text or an image at Hugging Face.' });
export type ZeroShotRequest = z.infer<typeof ZeroShotRequest>;

export const ZeroShotResponse = z
  .array(
    z.strictObject({
      label: z.string().describe('Name of the label.'),
      score: z.number().min(0).max(1).describe('Its probability.'),
    }),
  )
  .meta({ title: 'ZeroShotResponse', description: 'The labels, the best first.' });
export type ZeroShotResponse = z.infer<typeof ZeroShotResponse>;

const place = z.int().nonnegative().nullable();
export const TeiTokenizeResponse = z
  .array(
    z.array(
      z.strictObject({
        id: z.int().nonnegative().describe('Row of the vocabulary.'),
        text: z
          .string()
          .describe('The part of the text that it stands for; the entry of the vocabulary where special.'),
        special: z.boolean().describe('Whether the model adds it by itself.'),
        start: place.describe('Where it begins in the text, in bytes of UTF-8; null where special.'),
        stop: place.describe('Where it ends in the text, in bytes of UTF-8; null where special.'),
      }),
    ),
  )
  .meta({ title: 'TeiTokenizeResponse', description: "TEI's answer: the tokens of each text, none of them cut off." });
export type TeiTokenizeResponse = z.infer<typeof TeiTokenizeResponse>;

export const TeiRerankRequest = z
  .strictObject({
    query: z.string().describe('What is looked for.'),
    texts: z.array(z.string()).describe('What is ranked.'),
    model,
    ...truncation,
    raw_scores: z
      .boolean()
      .optional()
      .describe('true: scores are the log-odds of the probabilities. false or absent: the probabilities.'),
    return_text: z.boolean().optional().describe('Whether the texts are repeated in the answer; absent: false.'),
    top_n: z
      .int()
      .positive()
      .optional()
      .describe('How many are answered, the best ones; absent: all. TEI has no such field.'),
  })
  .meta({ title: 'TeiRerankRequest', description: "TEI's body of POST /rerank." });
export type TeiRerankRequest = z.infer<typeof TeiRerankRequest>;

export const TeiRerankResponse = z
  .array(
    z.strictObject({
      index: z.int().nonnegative().describe('Index in `texts`.'),
      score: z.number().describe('Probability in 0..1 that both mean the same, or its log-odds.'),
      text: z.string().optional().describe('The text itself, where asked for.'),
    }),
  )
  .meta({ title: 'TeiRerankResponse', description: "TEI's answer: the texts, the best first." });
export type TeiRerankResponse = z.infer<typeof TeiRerankResponse>;

const atMost = (what: string) => z.int().positive().describe(`${what} at most.`);
export const TeiInfo = z
  .strictObject({
    model_id: z.string().describe('Name of the model that answers where none is named.'),
    model_sha: z.string().describe('Its version: there is no repository with revisions.'),
    model_dtype: z.string().describe('Type of the weights of the text student.'),
    served_model_name: z.string().describe('The same as `model_id`.'),
    model_type: z
      .strictObject({
        embedding: z
          .strictObject({ pooling: z.string().describe('How tokens become one vector.') })
          .describe('It embeds.'),
      })
      .describe('What the model does.'),
    max_input_length: atMost('Tokens of a text that are read'),
    max_batch_tokens: atMost('Tokens of all texts in a request'),
    max_client_batch_size: atMost('Texts in a request'),
    auto_truncate: z.boolean().describe('Whether a text that is too long is cut where a request does not say.'),
    version: z.string().describe('Version of this service.'),
    space_id: Digest.describe('Ours: the space of the vectors.'),
    dimensions: z.array(z.int().positive()).describe('Ours: lengths that vectors may have, the full one first.'),
  })
  .meta({ title: 'TeiInfo', description: 'The fields of TEI that are true here.' });
export type TeiInfo = z.infer<typeof TeiInfo>;

export const TEI_OPERATIONS = {
  task: {
    method: 'POST',
    computes: true,
    path: '/',
    door: 'tei',
    scope: 'embed',
    summary: 'What Hugging Face clients ask of a model',
    description:
      'Feature extraction; sentence similarity, where `inputs` holds a `source_sentence`; zero-shot classification of a ' +
      'text or an image, where `parameters` hold `candidate_labels`.',
    request: z.union([TeiEmbedRequest, TeiSimilarityRequest, ZeroShotRequest]),
    examples: {
      features: { value: { inputs: ['a dog running through snow', 'a cat'], normalize: true, truncate: true } },
      similarity: { value: { inputs: { source_sentence: 'a dog', sentences: ['ein Hund', 'a boat'] } } },
      labels: { value: { inputs: 'a husky in winter', parameters: { candidate_labels: ['dog', 'ship'] } } },
    },
    answer: 'A bare list of vectors, of cosines or of labels.',
    response: z.union([TeiEmbedResponse, TeiSimilarityResponse, ZeroShotResponse]),
  },
  teiRerank: {
    method: 'POST',
    computes: true,
    path: '/rerank',
    door: 'tei',
    sharedWith: ['openai'],
    scope: 'embed',
    summary: 'Rank texts by how well they match a query',
    description:
      "TEI's form, and Infinity's where `documents` stands for `texts`. A score is the probability that both mean the " +
      "same, by the model's calibration.",
    request: z.union([TeiRerankRequest, InfinityRerankRequest]),
    examples: {
      texts: { value: { query: 'a dog in snow', texts: ['a boat', 'a husky in winter'], return_text: true } },
      infinity: { value: { query: 'a dog in snow', documents: ['a boat', 'a husky in winter'], top_n: 1 } },
    },
    answer: 'Indices of the texts and their scores, the best first.',
    response: z.union([TeiRerankResponse, InfinityRerankResponse]),
  },
  info: {
    method: 'GET',
    path: '/info',
    door: 'tei',
    scope: 'embed',
    summary: 'The model and its limits, as TEI tells them',
    answer: 'One object.',
    response: TeiInfo,
  },
} as const satisfies Record<string, Operation>;
