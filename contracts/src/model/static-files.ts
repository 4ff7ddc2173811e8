// Where a model's files are among the static files beside a Worker: under their keys in a registry, whole or in parts.
import { artefactKey } from '../keys.ts';
import type { Artefact } from './artefact.ts';
import type { QuantizedTable } from './manifest.ts';

/** Of one static file beside a Worker: the platform takes 25 MiB. */
export const STATIC_FILE_BYTES = 24 * 1024 * 1024;

/** Of one with rows of a table: what a text reads for a word that is new to the isolate. */
const ROW_FILE_BYTES = 256 * 1024;

/** A file of a model among static files, or a part of it, and which bytes of it are there. */
export interface StaticFile {
  key: string;
  from: number;
  to: number;
}

/**
 * Where a model's files are among the static files beside a Worker. A table of rows lies in small parts of whole rows, so that a text
 * waits for those that it has; any other file is whole, or in as few parts as the platform takes.
 */
export function staticFilesOf(
  tables: readonly Pick<QuantizedTable, 'file' | 'width'>[],
): (artefact: Pick<Artefact, 'digest' | 'size'>) => StaticFile[] {
  const widths = new Map(tables.map(({ file, width }) => [file.digest, width]));
  return ({ digest, size }) => {
    const width = widths.get(digest);
    const most = width === undefined ? STATIC_FILE_BYTES : Math.max(1, Math.floor(ROW_FILE_BYTES / width)) * width;
    if (size <= most) return [{ key: artefactKey(digest), from: 0, to: size }];
    return Array.from({ length: Math.ceil(size / most) }, (_, part) => {
      const from = part * most;
      return { key: `${artefactKey(digest)}.${part}`, from, to: Math.min(size, from + most) };
    });
  };
}
