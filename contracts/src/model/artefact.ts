// A file and how to refer to it: by digest for machines, by path for humans (OCI's content descriptor).
import * as z from 'zod';

/** Lower-case hexadecimal SHA-256 with its algorithm, as OCI writes it. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

export const Artefact = z
  .strictObject({
    path: z.string().min(1).describe('Relative to the document that names the file, with slashes.'),
    digest: Digest.describe('SHA-256 of the bytes.'),
    size: z.int().nonnegative().describe('In bytes.'),
  })
  .meta({ title: 'Artefact', description: 'A file, by path and by digest.' });
export type Artefact = z.infer<typeof Artefact>;

/** The bytes of a file from one place to another, where a file can be read in parts. */
export interface FilePart {
  from: number;
  to: number;
  /** The caller may detach the buffer. */
  read(): Promise<ArrayBuffer>;
}

/** Every descriptor in a document, wherever it stands. */
export function artefactsIn(value: unknown): Artefact[] {
  const artefact = Artefact.safeParse(value);
  if (artefact.success) return [artefact.data];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(artefactsIn) : [];
}
