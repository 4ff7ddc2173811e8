// Checks of a recipe's two towers: what they start from, and what is trained of them. Pure.
import { type Check, unless, where } from './check.ts';

/** Part of the table in contradictions.ts. */
export const TOWER_CHECKS: readonly Check[] = [
  where(['embed_captions', 'inherit'], ({ embed_captions: { teachers }, inherit: { target, adapter } }) =>
    unless(
      adapter.own_text_share === undefined ||
        (teachers.length > 1 && teachers.at(-1)?.type === 'clip_text' && target === 'clip_text'),
      "inherit.adapter.own_text_share averages with the checkpoint's own text vector: embed_captions.teachers has to end with clip_text behind another one, and inherit.target has to be clip_text",
    ),
  ),
  where(['inherit'], ({ inherit: { adapter_from, adapter } }) =>
    unless(
      adapter_from === undefined || (adapter.input_length === 'one' && adapter.own_text_share === undefined),
      'inherit.adapter_from is an adapter of LLM2CLIP, whose features have length one: set inherit.adapter.input_length to "one", and leave own_text_share out',
    ),
  ),
  where(['inherit', 'clip'], ({ inherit: { backbone }, clip: { logit_scale_start } }) =>
    unless(
      logit_scale_start !== 'checkpoint' || backbone.name.startsWith('open_clip:'),
      `clip.logit_scale_start is "checkpoint", but ${backbone.name} holds no logit scale: name an open_clip:… backbone, or leave it out`,
    ),
  ),
  where(['embed_images', 'clip'], ({ embed_images: { first_trainable_block }, clip: { patch_dropout = 0 } }) =>
    unless(
      patch_dropout === 0 || first_trainable_block === 0,
      `clip.patch_dropout is ${patch_dropout}, but patches are left out before the first block: set embed_images.first_trainable_block to 0, not ${first_trainable_block}`,
    ),
  ),
  where(['clip'], ({ clip: { regulariser_ema, regulariser_weight } }) =>
    unless(
      regulariser_ema === undefined || regulariser_weight > 0,
      'clip.regulariser_ema is the teacher of the regulariser: it needs a regulariser_weight above 0',
    ),
  ),
  where(['embed_captions', 'clip'], ({ embed_captions: { hard_negatives }, clip: { hard_negatives_weight = 0 } }) =>
    unless(
      hard_negatives_weight === 0 || hard_negatives !== undefined,
      `clip.hard_negatives_weight is ${hard_negatives_weight}, but there are no wrong texts: set embed_captions.hard_negatives`,
    ),
  ),
  where(['embed_captions', 'clip'], ({ embed_captions, clip: { regions } }) =>
    unless(
      regions === undefined || embed_captions.regions !== undefined,
      'clip.regions learns from phrases, which are not embedded: set embed_captions.regions',
    ),
  ),
  where(
    ['embed_images', 'clip'],
    ({ embed_images: { first_trainable_block }, clip: { regions, patch_dropout = 0 } }) =>
      regions === undefined
        ? []
        : [
            ...unless(
              first_trainable_block !== null,
              "clip.regions reads the tower's last grid, of which nothing is left where the head alone trains: set embed_images.first_trainable_block to the number of a block, not null",
            ),
            ...unless(
              patch_dropout === 0,
              `clip.regions reads every patch of the grid: set clip.patch_dropout to 0, not ${patch_dropout}`,
            ),
          ],
  ),
  where(['embed_images', 'clip'], ({ embed_images: { first_trainable_block }, clip: { image_head } }) =>
    unless(
      image_head !== 'locked' || first_trainable_block === null,
      `clip.image_head is "locked" below blocks that train: set embed_images.first_trainable_block to null, not ${first_trainable_block}`,
    ),
  ),
];
