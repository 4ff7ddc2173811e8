// Selects the jobs of a plan that a command line names with --to or --only. Pure.
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Plan, PlannedJob } from './plan.ts';

export interface Selection {
  /** This job and everything it needs. */
  to?: string | undefined;
  /** This job alone: its inputs have to be finished. */
  only?: string | undefined;
}

/** All jobs, or those that the selection names, in order. Throws a UserError where that cannot be run. */
export function selectJobs(plan: Plan, { to, only }: Selection): PlannedJob[] {
  const target = only ?? to;
  if (target === undefined) return plan.jobs;
  const named = plan.jobs.find(({ job }) => job.id === target);
  if (named === undefined) throw new UserError(`no stage ${target} in this recipe; it has ${idsOf(plan)}`);
  if (only === undefined) return withInputs(plan, target);
  refuseMissingInputs(plan, named);
  return [named];
}

/** The ids of a plan's jobs, for a message. */
export function idsOf(plan: Plan): string {
  return plan.jobs.map(({ job }) => job.id).join(', ');
}

function withInputs(plan: Plan, target: string): PlannedJob[] {
  const wanted = new Set([target]);
  // Inputs come before their readers, so one walk from the end finds all of them.
  for (const planned of plan.jobs.toReversed()) {
    if (wanted.has(planned.job.id)) for (const id of planned.needs) wanted.add(id);
  }
  return plan.jobs.filter(({ job }) => wanted.has(job.id));
}

function refuseMissingInputs(plan: Plan, { job: { id }, needs, report }: PlannedJob): void {
  if (report !== undefined) return;
  const missing = plan.jobs.filter((planned) => needs.includes(planned.job.id) && planned.report === undefined);
  if (missing.length === 0) return;
  const names = missing.map(({ job }) => job.id).join(', ');
  throw new UserError(`${id} needs ${names}, not finished yet: use --to ${id} to run both`);
}
