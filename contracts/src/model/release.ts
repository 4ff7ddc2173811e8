// One move of a model's pointer: what was published or brought back, when, why, and what it was measured at.
import { z } from 'zod';
import { ModelName } from '../names.ts';
import { Digest } from './artefact.ts';

export const ModelRelease = z.strictObject({
  name: ModelName,
  action: z.enum(['publish', 'rollback']),
  manifest: Digest,
  moved_at: z.iso.datetime(),
  /** Digest of the release before this one, null for the first. */
  previous: Digest.nullable(),
  /** Sentences of the gate, or of the person who moved the pointer. */
  reasons: z.array(z.string()),
  /** Figures of stage `evaluate`: what the next candidate is held against. */
  metrics: z.record(z.string(), z.number()),
  /** Content address of the `prepare` run whose dev split the figures were measured on; null where it is not known. */
  dev_data: Digest.nullable(),
});
export type ModelRelease = z.infer<typeof ModelRelease>;
