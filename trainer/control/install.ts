// Puts an exported model in the place that the server reads: checked first, then swapped in by renames.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { Artefact } from '../../contracts/src/artefact.ts';
import { ModelManifest } from '../../contracts/src/manifest.ts';
import type { TrainingReport } from '../../contracts/src/training-job.ts';
import { RefusedError } from './failure.ts';

export interface Installed {
  folder: string;
  files: number;
  bytes: number;
}

/**
 * Copies the folder of the report's artefact `manifest` to `target`. Every file that the manifest names is read again
 * and compared by digest before the swap; `target` holds the old model until then, and a server never sees a mixture.
 */
export function installModel(run: string, report: TrainingReport, target: string): Installed {
  const manifest = report.artefacts['manifest'];
  if (manifest === undefined) throw new RefusedError(`${run}: the report of export names no artefact "manifest"`);
  const source = dirname(join(run, manifest.path));
  if (source === run)
    throw new RefusedError(`${run}: the manifest has to stand in a folder of its own, with the model's files`);
  const incoming = join(dirname(target), `.${basename(target)}.incoming-${process.pid}`);
  const outgoing = join(dirname(target), `.${basename(target)}.outgoing-${process.pid}`);
  try {
    cpSync(source, incoming, { recursive: true });
    verifyModel(incoming, basename(manifest.path));
    if (existsSync(target)) renameSync(target, outgoing);
    try {
      renameSync(incoming, target);
    } catch (error) {
      if (existsSync(outgoing)) renameSync(outgoing, target);
      throw error;
    }
  } finally {
    rmSync(incoming, { recursive: true, force: true });
    rmSync(outgoing, { recursive: true, force: true });
  }
  const files = readdirSync(target, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  return { folder: target, files: files.length, bytes };
}

/** Throws unless the manifest keeps the contract and every file it names is there, byte for byte. */
function verifyModel(folder: string, manifestName: string): void {
  const result = ModelManifest.safeParse(JSON.parse(readFileSync(join(folder, manifestName), 'utf8')));
  if (!result.success)
    throw new RefusedError(`the exported manifest breaks the contract:\n${z.prettifyError(result.error)}`);
  for (const { path, digest, size } of artefactsIn(result.data)) {
    const file = join(folder, path);
    if (!existsSync(file)) throw new RefusedError(`the manifest names ${path}, which the export did not write`);
    const bytes = readFileSync(file);
    const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    if (bytes.length !== size || found !== digest)
      throw new RefusedError(`${path} is not the file that the manifest describes`);
  }
}

/** Every descriptor in a document, wherever it stands. */
function artefactsIn(value: unknown): Artefact[] {
  const artefact = Artefact.safeParse(value);
  if (artefact.success) return [artefact.data];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(artefactsIn) : [];
}
