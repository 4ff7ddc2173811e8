// State Plan of the training state machine: which jobs are missing for a recipe as last submitted, with its newest data.
import { openStore } from '../../../api/registry/stores/open.ts';
import { type PipelineIdle, PipelineInput, type PipelinePlan } from '../../../contracts/src/training/pipeline.ts';
import { toPipelinePlan } from '../plan/pipeline-plan.ts';
import { readRuns, writeJob } from '../run/store.ts';
import { findRequest, neverSubmitted, planStoredRuns } from '../run/stored-plan.ts';
import { readPlanEnvironment } from './environment.ts';

export async function handler(event: unknown): Promise<PipelinePlan | PipelineIdle> {
  const { recipe } = PipelineInput.parse(event);
  const { code, fleet, training } = readPlanEnvironment(process.env);
  const store = openStore(training);
  const request = await findRequest(recipe, store);
  // A schedule and new data may both come before the first submission: nothing has failed.
  if (request === undefined) return { recipe, idle: neverSubmitted(recipe) };
  const runs = await readRuns(store, recipe);
  const { recipe: submitted, data, folders, arrays } = request;
  const plan = planStoredRuns({ recipe: submitted, code, data, folders, arrays, store, runs });
  for (const planned of plan.jobs) if (planned.report === undefined) await writeJob(store, planned);
  return toPipelinePlan(plan, fleet);
}
