// What crosses from the control plane to a training container and back: one stage's job, its report, its progress lines.
import { z } from 'zod';
import { Artefact, Digest } from '../model/artefact.ts';
import { JobId } from '../names.ts';
import { StageConfig } from '../stages.ts';

/**
 * `python -m stages.<stage> job.json` reads this and nothing else. `inputs` maps a role to the folder that an earlier
 * stage or the data owner wrote; `output` is the only place the stage writes to. URIs are `file://` or `s3://`.
 */
export const TrainingJob = z.strictObject({
  id: JobId,
  recipe: z.string(),
  seed: z.int().nonnegative(),
  /** Digest of the trainer's source: part of the content address. */
  code: Digest,
  inputs: z.record(z.string(), z.string()),
  output: z.string(),
  config: StageConfig,
});
export type TrainingJob = z.infer<typeof TrainingJob>;

/** `report.json`, written last: its presence means that the stage is finished. Exit codes: 0, 75 (interrupted, run again), other. */
export const TrainingReport = z.strictObject({
  id: z.string(),
  stage: z.string(),
  status: z.enum(['succeeded', 'failed']),
  started_at: z.iso.datetime(),
  /** Wall-clock seconds of work over all attempts. */
  seconds: z.number().nonnegative(),
  device: z.string(),
  metrics: z.record(z.string(), z.number()),
  artefacts: z.record(z.string(), Artefact),
  notes: z.array(z.string()),
});
export type TrainingReport = z.infer<typeof TrainingReport>;

/** One line of a stage's standard output: everything else goes to standard error. */
export const ProgressLine = z.strictObject({
  event: z.literal('progress'),
  stage: z.string(),
  step: z.int().nonnegative(),
  total: z.int().positive(),
  seconds: z.number().nonnegative(),
  metrics: z.record(z.string(), z.number()),
});
export type ProgressLine = z.infer<typeof ProgressLine>;
