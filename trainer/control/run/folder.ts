// Reads run folders of this machine: whether a run is finished, and every finished one under a runs folder.

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { TrainingJob, type TrainingReport } from '../../../contracts/src/training/job.ts';
import type { PastRun } from '../plan/estimate.ts';
import { judgeReport, type ReportReading } from './report.ts';

/** Beside the job: the share of this machine that each attempt had, as the times as long that it is taken to last for it; each once. */
const SHARE_FILE = 'share.json';
const Share = z.strictObject({ slowdowns: z.array(z.number().min(1)).min(1) });

/** Notes that an attempt begins. The time in the report of a run is that of all its attempts. */
export function noteShare(folder: string, slowdown: number): void {
  const slowdowns = new Set(slowdownsOf(folder)).add(slowdown);
  writeFileSync(join(folder, SHARE_FILE), `${JSON.stringify({ slowdowns: [...slowdowns] })}\n`);
}

/** None in folders of earlier versions, and where the file is damaged. */
function slowdownsOf(folder: string): number[] {
  const file = join(folder, SHARE_FILE);
  return existsSync(file) ? (Share.safeParse(jsonIn(readFileSync(file, 'utf8'))).data?.slowdowns ?? []) : [];
}

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

/**
 * Every finished run of every recipe under a runs folder. Left out are those whose job today's contract refuses, and those whose
 * attempts had different shares of the machine: what their time says of a stage nobody knows.
 */
export function pastRuns(runs: string): PastRun[] {
  const past: PastRun[] = [];
  for (const recipe of subfolders(runs)) {
    for (const name of subfolders(join(runs, recipe))) {
      const folder = join(runs, recipe, name);
      const reading = readReport(folder);
      if (reading.status !== 'finished' || !existsSync(join(folder, FILES.job))) continue;
      const job = TrainingJob.safeParse(jsonIn(readFileSync(join(folder, FILES.job), 'utf8')));
      const [slowdown = 1, ...others] = slowdownsOf(folder);
      if (job.success && others.length === 0) past.push({ job: job.data, report: reading.report, slowdown });
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
