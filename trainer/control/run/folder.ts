// A run's folder on this machine: what is in it, whether it is finished, and every finished one under a runs folder.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { TrainingJob, TrainingReport } from '../../../contracts/src/training/job.ts';

export type ReportReading =
  | { status: 'finished'; report: TrainingReport }
  | { status: 'absent' }
  | { status: 'refused'; reason: string };

/** A report counts when it keeps the contract, says `succeeded`, and every artefact is there with the size it names. */
export function readReport(folder: string): ReportReading {
  const file = join(folder, FILES.report);
  if (!existsSync(file)) return { status: 'absent' };
  return judgeReport(
    readFileSync(file, 'utf8'),
    (path) => statSync(join(folder, path), { throwIfNoEntry: false })?.size,
  );
}

/** `sizeOf`: bytes of a file of the run by its relative path, wherever the run lies. */
export function judgeReport(text: string, sizeOf: (path: string) => number | undefined): ReportReading {
  const document = parsed(text);
  if (document === undefined) return { status: 'refused', reason: 'report.json is not JSON' };
  const result = TrainingReport.safeParse(document);
  if (!result.success) {
    const [issue] = result.error.issues;
    return { status: 'refused', reason: `report.json: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}` };
  }
  const report = result.data;
  if (report.status !== 'succeeded') return { status: 'refused', reason: `report.json says ${report.status}` };
  for (const { path, size } of Object.values(report.artefacts)) {
    const found = sizeOf(path);
    if (found === undefined) return { status: 'refused', reason: `artefact ${path} is missing` };
    if (found !== size) return { status: 'refused', reason: `artefact ${path} has ${found} bytes, not ${size}` };
  }
  return { status: 'finished', report };
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

/** A finished run with the job that asked for it. */
export interface PastRun {
  job: TrainingJob;
  report: TrainingReport;
}

/** Every finished run of every recipe under a runs folder; those whose job today's contract refuses are left out. */
export function pastRuns(runs: string): PastRun[] {
  const past: PastRun[] = [];
  for (const recipe of subfolders(runs)) {
    for (const name of subfolders(join(runs, recipe))) {
      const folder = join(runs, recipe, name);
      const reading = readReport(folder);
      if (reading.status !== 'finished' || !existsSync(join(folder, FILES.job))) continue;
      const job = TrainingJob.safeParse(parsed(readFileSync(join(folder, FILES.job), 'utf8')));
      if (job.success) past.push({ job: job.data, report: reading.report });
    }
  }
  return past;
}

function subfolders(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** The value of a JSON text; undefined where it is none. */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
