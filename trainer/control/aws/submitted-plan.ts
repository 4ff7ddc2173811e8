// Plans what was last submitted under a recipe's name against what has finished since.
import type { ObjectStore } from '../../../api/registry/store.ts';
import type { TrainingRequest } from '../../../contracts/src/training/pipeline.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Plan, PlannedJob } from '../plan/plan.ts';
import { idsOf } from '../plan/select-jobs.ts';
import { readRuns } from '../run/store.ts';
import { planStoredRuns, readRequest } from '../run/stored-plan.ts';

export interface SubmittedPlan {
  request: TrainingRequest;
  plan: Plan;
}

/** Throws a UserError where the recipe was never submitted. */
export async function readSubmittedPlan(name: string, store: ObjectStore): Promise<SubmittedPlan> {
  const request = await readRequest(name, store);
  const { recipe, code, data, folders, arrays } = request;
  const plan = planStoredRuns({ recipe, code, data, folders, arrays, store, runs: await readRuns(store, name) });
  return { request, plan };
}

/** The submitted job of that id, or a UserError that lists the ids there are. */
export function plannedJob(plan: Plan, id: string): PlannedJob {
  const planned = plan.jobs.find(({ job }) => job.id === id);
  if (planned === undefined) throw new UserError(`no stage ${id} in ${plan.recipe}; it has ${idsOf(plan)}`);
  return planned;
}
