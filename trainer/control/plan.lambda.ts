// State Plan of the training state machine: which jobs are missing for a recipe as it was last submitted.
import { jobKey } from '../../contracts/src/keys.ts';
import { PipelineInput, type PipelinePlan } from '../../contracts/src/pipeline.ts';
import { TrainingJob } from '../../contracts/src/training-job.ts';
import { planFrom, readRequest } from './cloud-run.ts';
import { readPlanEnvironment } from './lambda-environment.ts';
import { openStore } from './object-store.ts';
import { toPipelinePlan } from './pipeline-plan.ts';
import { readRuns } from './run-store.ts';

export async function handler(event: unknown): Promise<PipelinePlan> {
  const { recipe } = PipelineInput.parse(event);
  const { code, fleet, training } = readPlanEnvironment(process.env);
  const store = openStore(training);
  const request = await readRequest(recipe, store);
  const plan = planFrom(request.recipe, code, request.data.digest, store, await readRuns(store, recipe));
  for (const { job, address, report } of plan.jobs) {
    // The container reads its job from the bucket, and nothing else from anybody.
    if (report === null)
      await store.put(
        jobKey(job.recipe, job.id, address),
        Buffer.from(JSON.stringify(TrainingJob.parse(job), null, 2)),
      );
  }
  return toPipelinePlan(plan, fleet);
}
