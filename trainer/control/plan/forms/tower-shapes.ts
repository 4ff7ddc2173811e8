// Work and memory of image towers, part by part, from which the plan's closed forms are made. Tests hold it against docs/towers.md and PyTorch.
import convolutions from './convolutions.json' with { type: 'json' };
import { sum, WEIGHT } from './form.ts';
import { CORE } from './rates.ts';

/** A tower that is cut into patches: its blocks are alike. */
export interface PatchTower {
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
 * A tower whose parts are not alike, counted part by part (trainer/bench/convolutions.py): stem, blocks, end. For one
 * picture of `size` pixels a side: additions and multiplications, bytes kept for the way back, numbers of the output.
 */
export interface ConvolutionalTower {
  backbone: string;
  size: number;
  parameters: number[];
  flop: number[];
  kept: number[];
  states: number[];
}

export type Tower = PatchTower | ConvolutionalTower;

/** How one picture goes through a tower: its side in pixels, the first block that counts, and the fraction of patches that is left out. */
export interface Passage {
  size: number;
  first: number;
  dropped?: number;
}

/**
 * Measured, per image: B/16 74 MiB, L/14 256, L/14-336 574, SO400M-224 315: 41.5 to 42.7 bytes each. Blocks with rotary
 * positions and a gated MLP (EVA02-L-336 1,068) and those that normalise queries and keys (InternViT-448 1,205) keep more.
 */
export const KEPT = { plain: 42.6, eva02: 79, intern: 50.2 } as const;

export const PATCH_TOWERS: readonly PatchTower[] = [
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

/** A tower by its name in a recipe, whatever weights it starts from; undefined where it was not measured. */
export function towerOf(backbone: string): Tower | undefined {
  const towers: readonly Tower[] = [...PATCH_TOWERS, ...convolutions];
  return towers.find((tower) => architectureIn(tower.backbone) === architectureIn(backbone));
}

export function blocksOf(tower: Tower): number {
  return isPatched(tower) ? tower.blocks : tower.parameters.length - 2;
}

/** Numbers of the whole tower, and of its blocks from one on with what comes after them. */
export function numbersFrom(tower: Tower, first: number): number {
  return isPatched(tower) ? share(tower, first) * tower.parameters * 1e6 : sum(partsFrom(tower.parameters, first));
}

/** Pooled features of a picture. */
export function featuresOf(tower: Tower): number {
  return isPatched(tower) ? tower.width : (tower.states.at(-1) ?? 0);
}

/**
 * A forward pass of one picture, in the additions and multiplications of matrix products that take as long. Of a transformer two
 * per number of the blocks and token, and the two products of attention.
 */
export function flopOf(tower: Tower, { size, first, dropped = 0 }: Passage): number {
  if (!isPatched(tower))
    return sum(partsFrom(tower.flop, first)) * grown(tower, size) * (CORE.flop / CORE.convolutions);
  const { parameters, blocks, width } = tower;
  const tokens = tokensOf(tower, size) * (1 - dropped);
  return share(tower, first) * tokens * (2 * parameters * 1e6 + 4 * blocks * width * tokens);
}

/** Bytes kept of one picture for the way back through what trains: everything, or the states between blocks and the insides of the largest. */
export function keptOf(
  tower: Tower,
  { size, first, dropped = 0, isComputedAgain }: Passage & { isComputedAgain: boolean },
): number {
  if (!isPatched(tower)) {
    const kept = partsFrom(tower.kept, first);
    const between = WEIGHT * sum(partsFrom(tower.states, first));
    return (isComputedAgain && kept.length > 1 ? between + Math.max(...kept) : sum(kept)) * grown(tower, size);
  }
  const tokens = tokensOf(tower, size) * (1 - dropped);
  const ofBlock = tower.kept * tokens * tower.width;
  const trained = share(tower, first) * tower.blocks;
  return isComputedAgain && trained > 1 ? WEIGHT * tokens * tower.width * trained + ofBlock : ofBlock * trained;
}

/** Numbers that are stored of one picture where a block is the first that trains: its pixels, or what the block reads. */
export function readBy(tower: Tower, size: number, first: number): number {
  if (first === 0) return 3 * size ** 2;
  if (isPatched(tower)) return tokensOf(tower, size) * tower.width;
  return (tower.states[first] ?? 0) * grown(tower, size);
}

/** Patches of a square picture and the token of the whole, where there is one. */
export function tokensOf({ patch }: PatchTower, size: number): number {
  return Math.floor(size / patch) ** 2 + 1;
}

function isPatched(tower: Tower): tower is PatchTower {
  return 'patch' in tower;
}

/** Fraction of the blocks from one on. */
function share({ blocks }: PatchTower, first: number): number {
  return Math.max(0, 1 - first / blocks);
}

/** The stem belongs to the first block. */
function partsFrom(parts: readonly number[], first: number): readonly number[] {
  return first === 0 ? parts : parts.slice(first + 1);
}

/** What convolutions compute and keep grows with the area. */
function grown(tower: ConvolutionalTower, size: number): number {
  return (size / tower.size) ** 2;
}

/** An open_clip model goes by its name before the `@`: behind it is a tag or a file of weights. */
function architectureIn(backbone: string): string {
  return backbone.startsWith('open_clip:') ? backbone.replace(/@.*$/, '') : backbone;
}

type Figures = readonly [parameters: number, blocks: number, width: number, size: number, patch: number];

function plain(backbone: string, [parameters, blocks, width, size, patch]: Figures): PatchTower {
  return { backbone, parameters, blocks, width, size, patch, kept: KEPT.plain };
}
