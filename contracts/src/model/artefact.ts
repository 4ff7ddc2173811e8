// A file and how to refer to it: by digest for machines, by path for humans (OCI's content descriptor).
import { z } from 'zod';

/** Lower-case hexadecimal SHA-256 with its algorithm, as OCI writes it. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

/** `path` is relative to the document that names it; `size` is in bytes. */
export const Artefact = z.strictObject({
  path: z.string().min(1),
  digest: Digest,
  size: z.int().nonnegative(),
});
export type Artefact = z.infer<typeof Artefact>;
