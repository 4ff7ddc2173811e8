// Which jobs of a plan a command looks at, or why it cannot.
import { UserError } from '../../../contracts/src/user-error.ts';
import { type Plan, type PlannedJob, selectJobs } from './plan.ts';

export function selectedJobs(
  plan: Plan,
  { to, only }: { to?: string | undefined; only?: string | undefined },
): PlannedJob[] {
  const jobs = selectJobs(plan, { to, only });
  if (jobs === null) {
    throw new UserError(
      `no stage ${only ?? to} in this recipe; it has ${plan.jobs.map(({ job }) => job.id).join(', ')}`,
    );
  }
  if (only === undefined || jobs.every(({ report }) => report !== null)) return jobs;
  const needs = new Set(jobs.flatMap((planned) => planned.needs));
  const missing = plan.jobs.filter(({ job, report }) => needs.has(job.id) && report === null).map(({ job }) => job.id);
  if (missing.length > 0)
    throw new UserError(`${only} needs ${missing.join(', ')}, not finished yet: use --to ${only} to run both`);
  return jobs;
}
