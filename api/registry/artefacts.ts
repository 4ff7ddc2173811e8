// The files that a document names.
import { Artefact } from '../../contracts/src/model/artefact.ts';

/** Every descriptor in a document, wherever it stands. */
export function artefactsIn(value: unknown): Artefact[] {
  const artefact = Artefact.safeParse(value);
  if (artefact.success) return [artefact.data];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(artefactsIn) : [];
}
