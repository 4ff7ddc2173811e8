// State Plan of the training state machine: which jobs are missing for a recipe as it was last submitted.

import { openStore } from '../../../api/registry/store.ts';
import { PipelineInput, type PipelinePlan } from '../../../contracts/src/training/pipeline.ts';
import { planFrom, readRequest } from '../aws/cloud-run.ts';
import { toPipelinePlan } from '../plan/pipeline-plan.ts';
import { readRuns, writeJob } from '../run/store.ts';
import { readPlanEnvironment } from './environment.ts';

export async function handler(event: unknown): Promise<PipelinePlan> {
  const { recipe } = PipelineInput.parse(event);
  const { code, fleet, training } = readPlanEnvironment(process.env);
  const store = openStore(training);
  const request = await readRequest(recipe, store);
  const plan = planFrom(request.recipe, code, request.data.digest, store, await readRuns(store, recipe));
  for (const planned of plan.jobs) if (planned.report === null) await writeJob(store, planned);
  return toPipelinePlan(plan, fleet);
}
