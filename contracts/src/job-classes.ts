// What a stage needs of a machine: one AWS Batch job definition a class, and what the planner prices.
import type { StageName } from './training/recipe.ts';

export interface StageClassResources {
  vcpus: number;
  memory_mib: number;
  gpus: 0 | 1;
  /** A job is ended (SIGTERM, then SIGKILL) after so many hours in one attempt. */
  timeout_hours: number;
  /** Attempts in all: reclaimed spot machines, images that could not be pulled, and checkpoints (exit 75) are tried again. */
  attempts: number;
}

/** `cpu`: reads and writes. `embed`: one forward pass over much data. `train`: hours of optimisation on one GPU. */
export const STAGE_CLASSES = {
  cpu: { vcpus: 4, memory_mib: 16_384, gpus: 0, timeout_hours: 6, attempts: 5 },
  embed: { vcpus: 4, memory_mib: 14_336, gpus: 1, timeout_hours: 12, attempts: 10 },
  train: { vcpus: 8, memory_mib: 28_672, gpus: 1, timeout_hours: 48, attempts: 10 },
} as const satisfies Record<string, StageClassResources>;
export type StageClass = keyof typeof STAGE_CLASSES;

export const CLASS_OF_STAGE = {
  prepare: 'cpu',
  mntp: 'train',
  contrastive: 'train',
  embed_captions: 'embed',
  inherit: 'train',
  clip: 'train',
  distill: 'train',
  export: 'cpu',
  evaluate: 'cpu',
} as const satisfies Record<StageName, StageClass>;

/** sysexits' EX_TEMPFAIL: the stage saved a checkpoint and wants to be started again. */
export const INTERRUPTED = 75;
