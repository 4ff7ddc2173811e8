// State Plan of the training state machine: which jobs are missing for a recipe as it was last submitted.
import { PipelineInput, type PipelinePlan } from '../../contracts/src/pipeline.ts';
import { planFrom, readRequest } from './cloud-run.ts';
import { readPlanEnvironment } from './lambda-environment.ts';
import { openStore } from './object-store.ts';
import { toPipelinePlan } from './pipeline-plan.ts';
import { readRuns, writeJob } from './run-store.ts';

export async function handler(event: unknown): Promise<PipelinePlan> {
  const { recipe } = PipelineInput.parse(event);
  const { code, fleet, training } = readPlanEnvironment(process.env);
  const store = openStore(training);
  const request = await readRequest(recipe, store);
  const plan = planFrom(request.recipe, code, request.data.digest, store, await readRuns(store, recipe));
  for (const planned of plan.jobs) if (planned.report === null) await writeJob(store, planned);
  return toPipelinePlan(plan, fleet);
}
