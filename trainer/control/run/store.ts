// Reads and writes runs in an object store: which are finished, and what they took.

import { encodeDocument, type ObjectStore } from '../../../api/registry/store.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { FILES, fileIn, folderOf, jobKey, PREFIXES, recipeRuns } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { TrainingJob, type TrainingReport } from '../../../contracts/src/training/job.ts';
import type { PastRun } from '../plan/estimate.ts';
import type { PlannedJob } from '../plan/plan.ts';
import { judgeReport } from './report.ts';

/** Writes what a container has to do: its job in the bucket is all that it reads of the control plane. */
export async function writeJob(store: ObjectStore, { job, contentAddress }: PlannedJob): Promise<void> {
  await store.put(
    jobKey({ recipe: job.recipe, job: job.id, address: contentAddress }),
    encodeDocument(TrainingJob.parse({ schema_version: SCHEMA_VERSION, ...job })),
  );
}

export interface StoredRuns {
  /** By the URI of the run's folder, as a plan wants it. */
  finished: Map<string, TrainingReport>;
  past: PastRun[];
}

/** Every finished run of a recipe. One listing, then the reports and jobs themselves. */
export async function readRuns(store: ObjectStore, recipe: string): Promise<StoredRuns> {
  const objects = await store.list(`${recipeRuns(PREFIXES.runs, recipe)}/`);
  const sizes = new Map(objects.map(({ key, size }) => [key, size]));
  const folders = objects.flatMap(({ key }) => folderOf(key, FILES.report) ?? []);
  const runs = await Promise.all(
    folders.map(async (folder) => {
      const report = await store.get(fileIn(folder, FILES.report));
      const reading = judgeReport((await report?.text()) ?? '', (path) => sizes.get(`${folder}/${path}`));
      if (reading.status !== 'finished') return undefined;
      const job = TrainingJob.safeParse(jsonIn((await (await store.get(fileIn(folder, FILES.job)))?.text()) ?? ''));
      return { uri: `${store.uri}/${folder}`, report: reading.report, job: job.data };
    }),
  );
  const stored: StoredRuns = { finished: new Map(), past: [] };
  for (const run of runs) {
    if (run === undefined) continue;
    stored.finished.set(run.uri, run.report);
    if (run.job !== undefined) stored.past.push({ job: run.job, report: run.report });
  }
  return stored;
}
