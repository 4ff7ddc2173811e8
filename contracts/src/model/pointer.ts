// The pointer: the one mutable object in a model registry. Moving it publishes or rolls back.
import { z } from 'zod';
import { ModelName } from '../names.ts';
import { Digest } from './artefact.ts';

export const ModelPointer = z.strictObject({
  name: ModelName,
  /** Digest of the manifest file that is current. */
  manifest: Digest,
  /** Digest of the release that moved it here: its history is a chain of releases. */
  release: Digest,
  moved_at: z.iso.datetime(),
});
export type ModelPointer = z.infer<typeof ModelPointer>;
