// Puts an exported model in the place that the server reads: checked first, then swapped in by renames.

import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { z } from 'zod';
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import { temporaryOf } from '../../../api/registry/stores/processes.ts';
import { FILES, isNamed } from '../../../contracts/src/keys.ts';
import { artefactsIn } from '../../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { TrainingReport } from '../../../contracts/src/training/job.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

const CARD = 'MODEL_CARD.md';

export interface InstallOptions {
  target: string;
  card?: string | undefined;
}

export interface Installed {
  folder: string;
  files: number;
  bytes: number;
}

/** The card of a model with its figures on dev sets, which stage `evaluate` writes; undefined where it has not. */
export function evaluatedCard(run: string, report: TrainingReport): string | undefined {
  const card = report.artefacts[CARD];
  return card === undefined ? undefined : join(run, card.path);
}

/**
 * Copies to `target` the report's artefact `manifest.json` and every other artefact beside or below it, nothing else of
 * the run. What the manifest names is compared by
 * digest before the swap, which is two renames: a reader finds the whole old model, for an instant none, then the whole
 * new one, and never a mixture. `card` takes the place of the export's own card.
 */
export function installModel(run: string, report: TrainingReport, { target, card }: InstallOptions): Installed {
  const artefacts = Object.values(report.artefacts);
  const manifest = artefacts.find(({ path }) => isNamed(path, FILES.manifest));
  if (manifest === undefined) throw new UserError(`${run}: the report of export names no manifest.json`);
  const base = dirname(manifest.path);
  const files = artefacts.filter(({ path }) => base === '.' || path.startsWith(`${base}/`));
  const incoming = temporaryOf(join(dirname(target), `.${basename(target)}`));
  // Not to be removed with what was not finished: it is the model that was served. A process number is 1 in every container.
  const outgoing = join(dirname(target), `.${basename(target)}.outgoing-${randomUUID()}`);
  try {
    for (const { path } of files) cpSync(join(run, path), join(incoming, relative(base, path)));
    if (card !== undefined) cpSync(card, join(incoming, CARD));
    verifyModel(incoming);
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
  return { folder: target, files: files.length, bytes: files.reduce((sum, { size }) => sum + size, 0) };
}

/** Throws unless the manifest keeps the contract and every file it names is there, byte for byte. */
function verifyModel(folder: string): void {
  const result = ModelManifest.safeParse(JSON.parse(readFileSync(join(folder, FILES.manifest), 'utf8')));
  if (!result.success)
    throw new UserError(`the exported manifest breaks the contract:\n${z.prettifyError(result.error)}`);
  for (const { path, digest, size } of artefactsIn(result.data)) {
    const file = join(folder, path);
    if (!existsSync(file)) throw new UserError(`the manifest names ${path}, which the export did not write`);
    const bytes = readFileSync(file);
    if (bytes.length !== size || sha256Of(bytes) !== digest)
      throw new UserError(`${path} is not the file that the manifest describes`);
  }
}
