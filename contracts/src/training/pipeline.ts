// What the states of the training state machine hand to each other; field names are paths in its definition.
import { z } from 'zod';
import { Digest } from '../model/artefact.ts';
import { BatchJobName } from '../names.ts';
import { StageName } from '../stages.ts';
import { Recipe } from './recipe.ts';

/** What was last submitted under a recipe's name: the schedule trains it again, with the data it was submitted with. */
export const TrainingRequest = z.strictObject({
  recipe: Recipe,
  /** Digests of the stages' source when it was submitted; a deployment's schedule goes by those of its own image. */
  code: z.record(StageName, Digest),
  data: z.strictObject({ uri: z.string(), digest: Digest }),
  submitted_at: z.iso.datetime(),
});
export type TrainingRequest = z.infer<typeof TrainingRequest>;

/** What starts an execution. */
export const PipelineInput = z.strictObject({ recipe: z.string() });
export type PipelineInput = z.infer<typeof PipelineInput>;

/** One Batch job that has to run; the machine knows neither stages nor their order, only this list. */
export const PipelineStage = z.strictObject({
  id: z.string(),
  /** Unique and stable: a job of this name is this work and no other. At most 128 characters of [A-Za-z0-9_-]. */
  job_name: BatchJobName,
  job_queue: z.string(),
  job_definition: z.string(),
  /** s3:// URI of job.json, the container's only argument. */
  job: z.string(),
  tags: z.record(z.string(), z.string()),
});
export type PipelineStage = z.infer<typeof PipelineStage>;

/** What state Plan gives: the jobs that are missing, in order, and where the two reports lie that decide. */
export const PipelinePlan = z.strictObject({
  recipe: z.string(),
  /** Number of stages to run; 0: nothing has changed since the last execution. */
  to_run: z.int().nonnegative(),
  stages: z.array(PipelineStage),
  /** s3:// folders of the two runs. */
  exported: z.string(),
  evaluated: z.string(),
  dev_data: Digest,
});
export type PipelinePlan = z.infer<typeof PipelinePlan>;

export const GateCheck = z.strictObject({
  name: z.string(),
  value: z.number().nullable(),
  /** The least (or, for `max`, the most) that passes. */
  limit: z.number(),
  bound: z.enum(['min', 'max']),
  passed: z.boolean(),
});
export type GateCheck = z.infer<typeof GateCheck>;

/** What state Gate gives. `reasons` say what failed, or what the publication rests on. */
export const GateDecision = z.strictObject({
  decision: z.enum(['publish', 'reject']),
  reasons: z.array(z.string()).min(1),
  checks: z.array(GateCheck),
  /** The manifest that was current when the gate decided: publishing is refused if it moved meanwhile. */
  incumbent: Digest.nullable(),
});
export type GateDecision = z.infer<typeof GateDecision>;

/** What state Publish gives. */
export const Published = z.strictObject({ name: z.string(), manifest: Digest, moved_at: z.iso.datetime() });
export type Published = z.infer<typeof Published>;
