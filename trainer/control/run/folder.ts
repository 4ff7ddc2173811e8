// Reads run folders of this machine: whether a run is finished, and every finished one under a runs folder.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { TrainingJob, type TrainingReport } from '../../../contracts/src/training/job.ts';
import type { PastRun } from '../plan/estimate.ts';
import { judgeReport, type ReportReading } from './report.ts';

/** A report counts when it keeps the contract, says `succeeded`, and every artefact is there with the size it names. */
export function readReport(folder: string): ReportReading {
  const file = join(folder, FILES.report);
  if (!existsSync(file)) return { status: 'absent' };
  return judgeReport(
    readFileSync(file, 'utf8'),
    (path) => statSync(join(folder, path), { throwIfNoEntry: false })?.size,
  );
}

/** Finished runs of one recipe, by the URI of their folder: what a plan need not run again. */
export function finishedRuns(runs: string, recipe: string): Map<string, TrainingReport> {
  const finished = new Map<string, TrainingReport>();
  for (const name of subfolders(join(runs, recipe))) {
    const folder = join(runs, recipe, name);
    const reading = readReport(folder);
    if (reading.status === 'finished') finished.set(toFileUri(folder), reading.report);
  }
  return finished;
}

/** Every finished run of every recipe under a runs folder; those whose job today's contract refuses are left out. */
export function pastRuns(runs: string): PastRun[] {
  const past: PastRun[] = [];
  for (const recipe of subfolders(runs)) {
    for (const name of subfolders(join(runs, recipe))) {
      const folder = join(runs, recipe, name);
      const reading = readReport(folder);
      if (reading.status !== 'finished' || !existsSync(join(folder, FILES.job))) continue;
      const job = TrainingJob.safeParse(jsonIn(readFileSync(join(folder, FILES.job), 'utf8')));
      if (job.success) past.push({ job: job.data, report: reading.report });
    }
  }
  return past;
}

function subfolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return (
    readdirSync(folder, { withFileTypes: true })
      // A run that was moved to another disk may be linked.
      .filter((entry) => entry.isDirectory() || (entry.isSymbolicLink() && isFolder(join(folder, entry.name))))
      .map((entry) => entry.name)
      .sort()
  );
}

/** Also behind links; a link to nothing, or to itself, is none. */
function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}
