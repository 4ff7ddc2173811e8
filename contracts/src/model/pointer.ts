// The pointer: the one mutable object in a model registry. Moving it publishes or rolls back.
import * as z from 'zod';
import { ModelName } from '../names.ts';
import { SchemaVersion } from '../schema-version.ts';
import { Digest } from './artefact.ts';

export const ModelPointer = z
  .strictObject({
    schema_version: SchemaVersion,
    name: ModelName.describe('Name of the model.'),
    manifest: Digest.describe('Digest of the manifest file that is current.'),
    release: Digest.describe('Digest of the release that moved it here: its history is a chain of releases.'),
    moved_at: z.iso.datetime().describe('When it was moved, in UTC.'),
  })
  .meta({ title: 'ModelPointer', description: 'Which manifest is current under the name of a model.' });
export type ModelPointer = z.infer<typeof ModelPointer>;
