// Stage `clip`: image tower and text adapter learn from pairs of images and captions.
import * as z from 'zod';
import { Adapter, count, fraction, Parallel, Schedule, weight } from '../blocks.ts';

const ScratchTextTower = z
  .strictObject({
    layers: count.describe('Transformer blocks.'),
    width: count.describe('Width of the token states; a multiple of `heads`.'),
    heads: count.describe('Attention heads per block.'),
    context_length: count.describe('Tokens of a text that are read.'),
    vocabulary_size: count.describe('Entries of the WordPiece vocabulary that is trained for it.'),
  })
  .meta({ title: 'ScratchTextTower', description: 'The text transformer of the comparison, trained from nothing.' });

const CaptionShares = z
  .strictObject({
    raw: weight.describe('Captions that came with the image.'),
    short: weight.describe('Short written captions.'),
    long: weight.describe('Long written captions.'),
  })
  .meta({ title: 'CaptionShares', description: 'Weights of captions by role; only their ratios count.' });

const RegionTerms = z
  .strictObject({
    per_picture: count.describe('At most this many regions of a picture are learned from in a step, random ones.'),
    weight: weight.describe(
      "Weight of InfoNCE between the regions of a batch and their phrases (FG-CLIP has 0.1, FG-CLIP 2 0.2): a region's vector is " +
        "the mean of the tower's last grid over its box.",
    ),
    negatives_weight: weight.describe(
      'Weight of a region against its phrase and the wrong texts of it (both have 0.5), as `hard_negatives_weight` of a caption; ' +
        '0 leaves it out.',
    ),
    text_contrast_weight: weight.describe(
      'Weight of the term that holds the phrases of a batch apart (FG-CLIP 2 has 0.1), as `text_contrast_weight` does captions; ' +
        '0 leaves it out.',
    ),
  })
  .meta({
    title: 'RegionTerms',
    description: 'What is learned from boxes in pictures and the phrases that describe them.',
  });

const FineGrained = z
  .strictObject({
    nearest_texts: count.describe('Other texts of the batch that a text is held apart from.'),
    equal_cosine: z.number().gt(0).max(1).describe('Cosine from which two texts are taken for one.'),
    highest_margin: z.number().positive().describe('Most that a text and its wrong texts are held apart, in logits.'),
    pair_weight: weight.describe('Weight of the cross-entropy of a text among its wrong ones.'),
    margin_weight: weight.describe('Weight of the margin between them.'),
  })
  .meta({ title: 'FineGrained', description: "Numbers of FG-CLIP 2's terms on texts." });

export const ClipConfig = z
  .strictObject({
    stage: z.literal('clip').describe('Name of the stage.'),
    text_tower: z
      .enum(['llm', 'scratch'])
      .describe(
        '`llm`: adapter over cached features of the language model. `scratch`: the control, a CLIP-style transformer.',
      ),
    scratch: ScratchTextTower,
    adapter: Adapter,
    adapter_start: z
      .enum(['inherited', 'new'])
      .optional()
      .describe(
        '`inherited`: the adapter goes on from where `inherit` left it. `new`: from random weights, so that pairs alone teach it, ' +
          'as in LLM2CLIP; the image head is still that of `inherit`. Absent: inherited.',
      ),
    embed_dim: count.describe('Dimensions of the joint space.'),
    loss: z
      .enum(['softmax', 'sigmoid'])
      .optional()
      .describe(
        '`softmax`: InfoNCE, in which the texts of a batch compete for an image. `sigmoid`: every pair of a batch is judged ' +
          'by itself, as SigLIP was trained. Absent: softmax.',
      ),
    logit_scale_start: z
      .enum(['new', 'checkpoint'])
      .optional()
      .describe(
        '`checkpoint`: logit scale, and bias of sigmoid loss, start where those of the checkpoint ended. `new`: where its ' +
          'authors started. Absent: new.',
      ),
    layer_decay: fraction.describe("A backbone block's learning rate is that of the block after it, times this."),
    parallel: Parallel.optional(),
    patch_dropout: z
      .number()
      .min(0)
      .lt(1)
      .optional()
      .describe(
        'Fraction of the patches of a picture that a transformer does not see in training, others at every step; needs ' +
          '`first_trainable_block` 0. Absent: 0.',
      ),
    backbone_lr: weight.describe('Peak learning rate of the last backbone block.'),
    regulariser_weight: weight.describe(
      'Weight of the batch-independent regulariser towards the frozen tower: 0.205 * E|v-v0|^2 + 52 * E[smooth-L1 of ' +
        'pairwise distances], times this.',
    ),
    regulariser_ema: z
      .number()
      .gt(0)
      .lt(1)
      .optional()
      .describe(
        'Decay of a running mean of the image tower, step by step, that takes the place of the frozen tower in the regulariser: ' +
          'the teacher of ProCLIP, which has 0.999. It looks at the same crops. Every process keeps it whole, also where `parallel` ' +
          'splits the weights. Absent: the frozen tower.',
      ),
    hard_negatives_weight: weight
      .optional()
      .describe(
        "Weight of a picture's caption against the wrong texts of `embed_captions.hard_negatives` (FG-CLIP 2, which has 0.5): " +
          'their cross-entropy, and a margin that follows how far they are apart in the mean. Absent: 0.',
      ),
    regions: RegionTerms.optional().describe(
      'Terms of FG-CLIP and FG-CLIP 2 on `regions` of the data, whose texts `embed_captions.regions` embeds; needs ' +
        '`first_trainable_block`, and no `patch_dropout`. Absent: none.',
    ),
    mixed_images: count
      .min(8)
      .optional()
      .describe(
        'Images in the order of their shards that are mixed with each other before batches are taken, where train images are ' +
          'streamed. Absent: 8,192.',
      ),
    fine_grained: FineGrained.optional().describe(
      'Numbers of `hard_negatives_weight` and `text_contrast_weight`, of captions and of regions. Absent: as the paper has them, ' +
        '10 texts, 0.95, a margin of 10, and weights of 3 and 0.4.',
    ),
    text_contrast_weight: weight
      .optional()
      .describe(
        'Weight of a term that holds the captions of a batch apart from the ten nearest other ones (FG-CLIP 2, which has 0.1). ' +
          'Absent: 0.',
      ),
    image_head: z
      .enum(['trained', 'locked'])
      .optional()
      .describe(
        '`locked`: the head of the image tower stays as `inherit` left it. With `first_trainable_block` null the whole tower is ' +
          'then locked, as in LiT, and the text tower alone learns. Absent: trained.',
      ),
    rows_weight: weight.describe(
      "Weight of InfoNCE between class prompts and pseudo-images, the rows of the frozen tower's classifier (or its own " +
        'text vectors of the classes); 0 leaves it out.',
    ),
    rows_mixin: weight.describe(
      'A pseudo-image is the direction of its row at the mean distance of an image from the mean image, with this times ' +
        "a random train image's difference from the mean added.",
    ),
    softmax_weight: weight.describe(
      "Weight of the cross-entropy of image times class prompts against the frozen tower's softmax over the classes of " +
        'the same crop; 0 leaves it out.',
    ),
    hypernyms_weight: weight.describe(
      'Weight of InfoNCE between hypernyms of the classes ("dog" for every breed) and a pseudo-image of one of their ' +
        'classes; 0 leaves it out.',
    ),
    hypernyms_softmax_weight: weight
      .optional()
      .describe(
        "Weight of hypernyms on photographs: the frozen classifier's probability of all classes that a hypernym covers " +
          'is the target of image against hypernym, both ways. Absent: 0.',
      ),
    hypernyms_batch: count.describe('Hypernyms per step.'),
    labels_weight: weight.describe(
      'Weight of InfoNCE between labelled pictures and the texts of their labels, equal labels being positives of each ' +
        'other; 0 leaves labelled pictures out. Where every picture has a label there is no such term: all are pairs for ' +
        'InfoNCE, with the captions of their templates, and those of one label are no negatives of each other.',
    ),
    label_fraction: fraction.describe(
      'Fraction of a batch that are labelled pictures; every label is drawn alike. One captioned picture stays for each process.',
    ),
    caption_shares: CaptionShares.optional().describe(
      'How often a caption of each role is drawn, among the roles that an image has; `caption_fields` of `prepare` names ' +
        'roles. Absent: every caption of an image alike.',
    ),
    text_tower_dtype: z
      .enum(['float32', 'bfloat16'])
      .optional()
      .describe(
        'What the text tower computes in while it is trained. `bfloat16`: as the image tower, where the device multiplies it; its ' +
          'weights and what the loss sees stay float32. Absent: float32, on CUDA without TF32.',
      ),
    dropout: fraction.describe('Dropout on pooled image features and in the text tower.'),
    batch_size: count.describe('Pairs per step, labelled pictures included.'),
    micro_batch: count
      .optional()
      .describe(
        'Images that GradCache embeds at a time on each rank, with their captions: bounds the memory of the towers, not the ' +
          'result, for a third more time. Absent: all at once.',
      ),
    soup: z
      .array(z.string())
      .min(1)
      .optional()
      .describe(
        'Folders of finished runs of `clip` from one start (other seeds, other settings of the training): instead of training, the ' +
          'result is the mean of their weights (2203.05482), measured and used like that of any run. Absent: train.',
      ),
    ema_decay: fraction.describe('Decay of the running mean of the weights, which is the result.'),
    evaluate_every: count.describe('Steps between two measurements on dev; they are logged and change nothing.'),
    schedule: Schedule,
  })
  .meta({ title: 'ClipConfig', description: 'Configuration of stage `clip`.' });
