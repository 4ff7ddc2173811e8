// Documents between the control plane and a training stage: one stage's job, its report, its progress lines.
import * as z from 'zod';
import { Artefact, Digest } from '../model/artefact.ts';
import { JobId } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { StageConfig } from '../stages.ts';

export const TrainingJob = z
  .strictObject({
    schema_version: SchemaVersion,
    id: JobId.describe('Name of the job in its plan: a stage, or a run for a comparison such as `clip-control-2`.'),
    recipe: z.string().describe('Name of the recipe.'),
    seed: z.int().nonnegative().describe('Seed of every random draw.'),
    code: Digest.describe("Digest of the stage's source: part of the content address."),
    inputs: z
      .record(z.string(), z.string())
      .describe('By role, the folder that an earlier stage or the data owner wrote: `file://` or `s3://` URIs.'),
    prepared: z
      .array(z.string())
      .optional()
      .describe('The parts of what `prepare` wrote that the stage may read; its address holds no others. Absent: all.'),
    embedded: z
      .array(z.string())
      .optional()
      .describe(
        'The parts of what `embed_captions` wrote that the stage may read: captions or features of a set of texts. Absent: all.',
      ),
    remote_inputs: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'By role of an input, the folder that files without content, and shards that are missing, are copied from before they are read. Written by the ' +
          'container, which leaves large files in the store. Absent: every file is there.',
      ),
    weights: z
      .array(
        z.strictObject({
          path: z.string().describe('The path that the recipe names it by.'),
          uri: z.string().describe('The folder with an index, `file://` or `s3://`, named by its digest.'),
          file: z.string().nullable().describe('The one file of it that is meant; null: the folder itself.'),
          at: z
            .array(z.union([z.string(), z.int().nonnegative()]))
            .optional()
            .describe('In jobs of earlier versions: where `config` has the path. Nothing reads it.'),
          prefix: z
            .string()
            .optional()
            .describe('In jobs of earlier versions: what `config` has before the path. Nothing reads it.'),
        }),
      )
      .optional()
      .describe(
        "Folders of weights that the recipe names by paths of the planner's machine, and where they are stored: " +
          'a container fetches them and says where they are in the variable `WEIGHTS`. `config` and what stages write keep the ' +
          'path, so that they name no folder of one attempt. Absent: the paths are of this machine.',
      ),
    output: z.string().describe('Folder, `file://` or `s3://`: the only place that the stage writes to.'),
    config: StageConfig,
  })
  .meta({
    title: 'TrainingJob',
    description: '`job.json`: `python -m stages.STAGE job.json` reads this and nothing else.',
  });
export type TrainingJob = z.infer<typeof TrainingJob>;

export const TrainingReport = z
  .strictObject({
    schema_version: SchemaVersion,
    id: z.string().describe('Id of the job.'),
    stage: z.string().describe('Name of the stage.'),
    status: z.enum(['succeeded', 'failed']).describe('How it ended.'),
    started_at: z.iso.datetime().describe('When the last attempt started, in UTC.'),
    seconds: z
      .number()
      .nonnegative()
      .describe('Wall-clock seconds of work over all attempts, and of all containers that shared it.'),
    first_step: z
      .strictObject({
        seconds: z.number().nonnegative().describe('Wall-clock seconds.'),
        cpu_seconds: z.number().nonnegative().describe('Seconds of a core, of all threads together.'),
      })
      .optional()
      .describe(
        'From the start of the last attempt, its imports included, to its first training step, of the first process where ' +
          'several train. Absent: nothing was trained.',
      ),
    device: z.string().describe('What it ran on, as PyTorch names it: `cpu`, `cuda`, `cuda:0`.'),
    metrics: z.record(z.string(), z.number()).describe('Figures by name.'),
    artefacts: z.record(z.string(), Artefact).describe('Files by name; paths are relative to the output folder.'),
    notes: z.array(z.string()).describe('Sentences for a person.'),
  })
  .meta({
    title: 'TrainingReport',
    description: '`report.json`, written last: its presence means that the stage is finished.',
  });
export type TrainingReport = z.infer<typeof TrainingReport>;

export const ProgressLine = z
  .strictObject({
    event: z.literal('progress').describe('Name of the event.'),
    stage: z.string().describe('Name of the stage.'),
    step: z.int().nonnegative().describe('Steps done of this loop; a stage may have several loops.'),
    total: z.int().positive().describe('Steps of this loop.'),
    seconds: z.number().nonnegative().describe('Wall-clock seconds of work so far, earlier attempts included.'),
    metrics: z.record(z.string(), z.number()).describe('Figures of the newest steps by name, such as `loss`.'),
  })
  .meta({
    title: 'ProgressLine',
    description: "One line of a stage's standard output; everything else goes to standard error.",
  });
export type ProgressLine = z.infer<typeof ProgressLine>;
