// One move of a model's pointer: what was published or brought back, when, why, and what it was measured at.
import * as z from 'zod';
import { ModelName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { Digest } from './artefact.ts';

export const ModelRelease = z
  .strictObject({
    schema_version: SchemaVersion,
    name: ModelName.describe('Name of the model.'),
    action: z
      .enum(['publish', 'rollback'])
      .describe('`publish`: a manifest that the gate let through. `rollback`: one that was current before.'),
    manifest: Digest.describe('Digest of the manifest that became current.'),
    moved_at: z.iso.datetime().describe('When the pointer was moved, in UTC.'),
    previous: Digest.nullable().describe('Digest of the release before this one; null for the first.'),
    reasons: z.array(z.string()).describe('Sentences of the gate, or of the person who moved the pointer.'),
    metrics: z
      .record(z.string(), z.number())
      .describe('Figures of stage `evaluate` by name: what the next candidate is compared with.'),
    dev_data: Digest.nullable().describe(
      'Digest of all that decides what the figures were measured on: dev split, classes, dev sets; null where it is not known.',
    ),
  })
  .meta({ title: 'ModelRelease', description: "One move of a model's pointer. Immutable, named by its digest." });
export type ModelRelease = z.infer<typeof ModelRelease>;
