// Shapes of the image towers whose memory was measured: what the plan's closed form needs. A test holds them against docs/towers.md.

export interface TowerShape {
  /** `backbone.name` of a recipe. */
  backbone: string;
  /** Numbers in 10^6. */
  parameters: number;
  blocks: number;
  width: number;
  /** Side of the picture that it was trained on, and of a patch, in pixels. */
  size: number;
  patch: number;
  /** Bytes kept for the way back per token, block and number of the width: bfloat16 autocast over float32 weights. */
  kept: number;
}

/**
 * Measured, per image: B/16 74 MiB, L/14 256, L/14-336 574, SO400M-224 315: 41.5 to 42.7 bytes each. Blocks with rotary
 * positions and a gated MLP (EVA02-L-336 1,068) and those that normalise queries and keys (InternViT-448 1,205) keep more.
 */
export const KEPT = { plain: 42.6, eva02: 79, intern: 50.2 } as const;

export const TOWER_SHAPES: readonly TowerShape[] = [
  plain('open_clip:ViT-B-32-quickgelu@openai', [87.5, 12, 768, 224, 32]),
  plain('open_clip:ViT-B-16-quickgelu@openai', [85.8, 12, 768, 224, 16]),
  plain('open_clip:ViT-L-14-quickgelu@openai', [303.2, 24, 1024, 224, 14]),
  plain('open_clip:ViT-L-14-336-quickgelu@openai', [303.5, 24, 1024, 336, 14]),
  { ...plain('open_clip:EVA02-B-16@merged2b_s8b_b131k', [85.9, 12, 768, 224, 16]), kept: KEPT.eva02 },
  { ...plain('open_clip:EVA02-L-14@merged2b_s4b_b131k', [303.3, 24, 1024, 224, 14]), kept: KEPT.eva02 },
  { ...plain('open_clip:EVA02-L-14-336@merged2b_s6b_b61k', [303.6, 24, 1024, 336, 14]), kept: KEPT.eva02 },
  { ...plain('vit_intern300m_patch14_448.ogvl_dist', [304.0, 24, 1024, 448, 14]), kept: KEPT.intern },
  plain('open_clip:ViT-SO400M-14-SigLIP@webli', [427.7, 27, 1152, 224, 14]),
  plain('open_clip:ViT-SO400M-14-SigLIP-384@webli', [428.2, 27, 1152, 384, 14]),
  plain('open_clip:ViT-B-16-SigLIP2@webli', [92.9, 12, 768, 224, 16]),
  plain('open_clip:ViT-SO400M-14-SigLIP2@webli', [427.7, 27, 1152, 224, 14]),
];

/** The shape of a tower by its name in a recipe, whatever weights it starts from; undefined where nobody measured it. */
export function towerShape(backbone: string): TowerShape | undefined {
  return TOWER_SHAPES.find((shape) => architectureIn(shape.backbone) === architectureIn(backbone));
}

/** An open_clip model goes by its name before the `@`: behind it is a tag or a file of weights. */
function architectureIn(backbone: string): string {
  return backbone.startsWith('open_clip:') ? backbone.replace(/@.*$/, '') : backbone;
}

/** Patches of a square picture and the token of the whole, where there is one. */
export function tokensOf({ patch }: TowerShape, size: number): number {
  return Math.floor(size / patch) ** 2 + 1;
}

type Figures = readonly [parameters: number, blocks: number, width: number, size: number, patch: number];

function plain(backbone: string, [parameters, blocks, width, size, patch]: Figures): TowerShape {
  return { backbone, parameters, blocks, width, size, patch, kept: KEPT.plain };
}
