// The model manifest: everything a server needs to answer with a published model, and where it came from.
import { z } from 'zod';
import { ModelName } from '../names.ts';
import { Artefact, Digest } from './artefact.ts';

/**
 * The exact path from image bytes to the graph's input. `squash` resizes both sides to `size` and ignores the
 * aspect ratio; `shortest` resizes the shorter side to `size` and crops the centre; `longest` fits the longer
 * side and pads. Pixel value x in 0..255 becomes (x / 255 - mean) / std per channel, layout NCHW.
 */
export const PreprocessRecipe = z.strictObject({
  resize_mode: z.enum(['squash', 'shortest', 'longest']),
  size: z.int().min(1).max(1024),
  interpolation: z.literal('bicubic'),
  crop: z.enum(['none', 'center']),
  mean: z.array(z.number()).length(3),
  std: z.array(z.number().positive()).length(3),
  color: z.literal('rgb'),
});
export type PreprocessRecipe = z.infer<typeof PreprocessRecipe>;

/** WordPiece with BERT's normalisation; the vocabulary is one piece a line, the line number is the id. */
export const WordPieceTokenizer = z.strictObject({
  type: z.literal('wordpiece'),
  vocabulary: Artefact,
  vocabulary_size: z.int().positive(),
  pad_id: z.int().nonnegative(),
  unk_id: z.int().nonnegative(),
  cls_id: z.int().nonnegative(),
  sep_id: z.int().nonnegative(),
});
export type WordPieceTokenizer = z.infer<typeof WordPieceTokenizer>;

/** int8 rows followed by one little-endian float32 scale a row: `rows * width + rows * 4` bytes; value = int8 * scale. */
export const QuantizedTable = z.strictObject({
  file: Artefact,
  rows: z.int().positive(),
  width: z.int().positive(),
});
export type QuantizedTable = z.infer<typeof QuantizedTable>;

/** An ONNX graph; `weights` is its external data file, absent when the weights are inside. */
export const OnnxGraph = z.strictObject({
  file: Artefact,
  weights: z.strictObject({ name: z.string(), file: Artefact }).optional(),
  opset: z.int().positive(),
});
export type OnnxGraph = z.infer<typeof OnnxGraph>;

/** Logistic map of a cosine: calibrated = 1 / (1 + exp(-(scale * cosine + bias))), learned from dev pairs. */
export const Calibration = z.strictObject({ scale: z.number(), bias: z.number() });
export type Calibration = z.infer<typeof Calibration>;

/** What a server recomputes to prove that it runs this model: full-length unit vectors, tolerance as a cosine. */
export const GoldenVector = z.strictObject({
  text: z.string(),
  tier: z.enum(['student', 'static']),
  embedding: z.array(z.number()),
  min_cosine: z.number().min(0).max(1),
});
export type GoldenVector = z.infer<typeof GoldenVector>;

export const ModelManifest = z.strictObject({
  name: ModelName,
  version: z.string().min(1),
  created_at: z.iso.datetime(),
  /** Digest over image tower, preprocessing and joint projection: vectors with different ids must not be compared. */
  space_id: Digest,
  embed_dim: z.int().positive(),
  matryoshka_dims: z.array(z.int().positive()).min(1),
  /** The text student: inputs `inputs_embeds` [B, T, width] and `attention_mask` [B, T], output `embedding` [B, embed_dim]. */
  text: z.strictObject({
    tokenizer: WordPieceTokenizer,
    context_length: z.int().min(4),
    table: QuantizedTable,
    graph: OnnxGraph,
  }),
  /** The static tier: mean of token rows, L2-normalised; the same tokenizer without special tokens. */
  static: z.strictObject({ table: QuantizedTable }),
  /** The image tower: input `pixels` [B, 3, size, size], output `embedding` [B, embed_dim]. */
  image: z.strictObject({ preprocess: PreprocessRecipe, graph: OnnxGraph }),
  calibration: z.strictObject({ text_image: Calibration, text_text: Calibration, image_image: Calibration }),
  golden: z.array(GoldenVector).min(1),
  /** Dev-split figures, e.g. `student.text_to_image_R@10` in 0..1. */
  metrics: z.record(z.string(), z.number()),
  lineage: z.strictObject({
    recipe: z.string(),
    code: Digest,
    parents: z.array(
      z.strictObject({ name: z.string(), source: z.string(), digest: Digest.optional(), licence: z.string() }),
    ),
  }),
});
export type ModelManifest = z.infer<typeof ModelManifest>;
