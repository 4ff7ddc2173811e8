// The lease of the attempt that works in a run's folder: two must not write there.
import * as z from 'zod';
import { SchemaVersion } from '../schema-version.ts';

export const Lease = z
  .strictObject({
    schema_version: SchemaVersion,
    holder: z.string().min(1).describe('Name of the attempt: random, or that of a job on several machines.'),
    renewed_at: z
      .number()
      .nonnegative()
      .describe("When the attempt last showed that it lives, in Unix seconds by its machine's clock."),
  })
  .meta({ title: 'Lease', description: "`lease.json` in a run's folder: deleted when the attempt ends." });
export type Lease = z.infer<typeof Lease>;
