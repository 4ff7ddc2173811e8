// Judges the report of a run, wherever the run is stored: finished, or the reason why not. Pure.
import { jsonIn } from '../../../contracts/src/json.ts';
import { TrainingReport } from '../../../contracts/src/training/job.ts';

export type ReportReading =
  | { status: 'finished'; report: TrainingReport }
  | { status: 'absent' }
  | { status: 'refused'; reason: string };

/** `sizeOf`: bytes of a file of the run by its relative path, wherever the run is stored. */
export function judgeReport(text: string, sizeOf: (path: string) => number | undefined): ReportReading {
  const document = jsonIn(text);
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
