// Inputs of the training state machine, and what its states hand to each other; field names are paths in its definition.
import * as z from 'zod';
import { Digest } from '../model/artefact.ts';
import { BatchJobName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { StageName } from '../stages.ts';
import { Recipe } from './recipe.ts';

export const TrainingRequest = z
  .strictObject({
    schema_version: SchemaVersion,
    recipe: Recipe.describe('The recipe as it was submitted.'),
    code: z
      .record(StageName, Digest)
      .describe("Digests of the stages' source when it was submitted; a schedule uses those of its own image."),
    data: z
      .strictObject({
        uri: z.string().describe('Folder of the uploaded data, `s3://`.'),
        digest: Digest.describe('Digest over all of its files.'),
        parts: z
          .record(z.string(), Digest)
          .describe('By part of what `prepare` makes of it, the digest over the files that the part is made from.'),
      })
      .describe('What it is trained on.'),
    folders: z
      .record(
        z.string(),
        z.strictObject({
          digest: Digest.describe('Digest over all of its files.'),
          file: z.string().nullable().describe('Name of the file where the path is of one.'),
        }),
      )
      .optional()
      .describe('Folders of weights that the recipe names, uploaded like the data, by path. Absent: it names none.'),
    arrays: z
      .partialRecord(StageName, z.int().min(2).max(10_000))
      .optional()
      .describe('By stage, the size of the array job that does its elements. Absent: every stage is one job.'),
    submitted_at: z.iso.datetime().describe('When it was submitted, in UTC.'),
  })
  .meta({
    title: 'TrainingRequest',
    description:
      "What was last submitted under a recipe's name: the pipeline trains it again, with this data or what was pushed since.",
  });
export type TrainingRequest = z.infer<typeof TrainingRequest>;

export const PipelineInput = z
  .strictObject({ recipe: z.string().describe('Name of a recipe that was submitted before.') })
  .meta({
    title: 'PipelineInput',
    description:
      'What the schedule starts the training state machine with, and what state Plan is given; new data starts it with the key of its pointer, `{pointer}`.',
  });
export type PipelineInput = z.infer<typeof PipelineInput>;

export const PipelineStage = z
  .strictObject({
    id: z.string().describe('Id of the job in its plan.'),
    job_name: BatchJobName.describe('Unique and stable: a Batch job of this name is this work and no other.'),
    job_queue: z.string().describe('ARN of the Batch job queue.'),
    job_definition: z.string().describe('ARN of the Batch job definition.'),
    job: z.string().describe("s3:// URI of job.json, the container's only argument."),
    tags: z.record(z.string(), z.string()).describe('Tags of the Batch job.'),
    timeout_seconds: z
      .int()
      .positive()
      .describe('The execution fails where the job has not ended after this time, waiting in its queue included.'),
    array_size: z
      .int()
      .min(2)
      .max(10_000)
      .optional()
      .describe(
        'Children of an array job, which do the elements of the stage; the next job joins them. Absent: one container.',
      ),
  })
  .meta({
    title: 'PipelineStage',
    description: 'One Batch job that has to run; the machine knows neither stages nor their order, only the list.',
  });
export type PipelineStage = z.infer<typeof PipelineStage>;

export const PipelinePlan = z
  .strictObject({
    recipe: z.string().describe('Name of the recipe.'),
    to_run: z
      .int()
      .nonnegative()
      .describe(
        'Number of stages to run, of which one with an array is two jobs; 0: nothing has changed since the last execution.',
      ),
    stages: z.array(PipelineStage).describe('The jobs that are missing, each after those whose output it reads.'),
    exported: z.string().describe('s3:// folder of the run of `export`.'),
    evaluated: z.string().describe('s3:// folder of the run of `evaluate`.'),
    dev_data: Digest.describe(
      'Digest of all that decides what the figures are measured on: dev split, classes, dev sets.',
    ),
  })
  .meta({ title: 'PipelinePlan', description: 'What state Plan gives.' });
export type PipelinePlan = z.infer<typeof PipelinePlan>;

export const PipelineIdle = z
  .strictObject({
    recipe: z.string().describe('Name of the recipe.'),
    idle: z.string().min(1).describe('Why there is nothing to plan, as a sentence.'),
  })
  .meta({
    title: 'PipelineIdle',
    description: 'What state Plan gives where nothing was submitted yet: the execution ends, and nothing has failed.',
  });
export type PipelineIdle = z.infer<typeof PipelineIdle>;

export const GateCheck = z
  .strictObject({
    name: z.string().describe('What is compared.'),
    value: z.number().nullable().describe("The candidate's figure; null where it has none."),
    limit: z.number().describe('The least (or, for `max`, the most) that passes.'),
    bound: z.enum(['min', 'max']).describe('On which side of `limit` the figure has to be.'),
    passed: z.boolean().describe('Whether it is.'),
  })
  .meta({ title: 'GateCheck', description: 'One figure of the candidate and the limit it is held to.' });
export type GateCheck = z.infer<typeof GateCheck>;

export const GateDecision = z
  .strictObject({
    decision: z.enum(['publish', 'reject']).describe('What is to be done with the candidate.'),
    reasons: z.array(z.string()).min(1).describe('Sentences: what failed, or what the publication rests on.'),
    checks: z.array(GateCheck).describe('Every comparison that was made.'),
    incumbent: Digest.nullable().describe(
      'Manifest that was current when the gate decided, null without one: publishing is refused if it moved meanwhile.',
    ),
  })
  .meta({ title: 'GateDecision', description: 'What state Gate gives.' });
export type GateDecision = z.infer<typeof GateDecision>;

export const Published = z
  .strictObject({
    name: z.string().describe('Name of the model.'),
    manifest: Digest.describe('Digest of the manifest that is current now.'),
    moved_at: z.iso.datetime().describe('When the pointer was moved, in UTC.'),
  })
  .meta({ title: 'Published', description: 'What state Publish gives.' });
export type Published = z.infer<typeof Published>;

/** What a deployment spends money with: infra says it, by an environment variable, to the function that stops it. */
export const Spending = z.strictObject({
  queues: z.array(z.string()).min(1).describe('ARNs of the job queues.'),
  state_machine: z.string().describe('ARN of the training state machine.'),
  schedules: z
    .array(
      z.strictObject({
        name: z.string(),
        enabled: z.boolean().describe('Whether the settings switch it on: `resume` starts no other.'),
      }),
    )
    .describe('Schedules of the default group.'),
});
export type Spending = z.infer<typeof Spending>;

/** What the function is called with by a person; a budget calls it by a notification. */
export const SwitchRequest = z.strictObject({
  action: z.enum(['stop', 'resume']),
  reason: z.string().optional().describe('Why, for the report.'),
});
export type SwitchRequest = z.infer<typeof SwitchRequest>;

export const SwitchReport = z.strictObject({
  action: z.enum(['stop', 'resume']),
  reason: z.string(),
  queues: z.int().describe('Queues that were switched.'),
  schedules: z.int().describe('Schedules that were switched.'),
  executions: z.int().describe('Executions that were stopped.'),
  jobs: z.int().describe('Jobs that were ended; they save a checkpoint, and the same command goes on from it.'),
});
export type SwitchReport = z.infer<typeof SwitchReport>;
