// Cancels the active jobs of a submitted recipe.
import { CANCELLED } from './batch.ts';
import { type AwsClients, findArray, findJob, isActive } from './clients.ts';
import { plannedJob, readSubmittedPlan } from './submitted-plan.ts';

export interface CancelOptions {
  /** The recipe's name. */
  recipe: string;
  /** One stage; all of them without it. */
  stage?: string | undefined;
  /** Who cancels: Batch keeps it as the reason. */
  user: string;
}

/** Ends every active job of a recipe, or one; those that wait for it end with it. Resolves to the number of jobs ended. */
export async function cancelJobs({ recipe, stage, user }: CancelOptions, clients: AwsClients): Promise<number> {
  const { plan } = await readSubmittedPlan(recipe, clients.store);
  const wanted = stage === undefined ? plan.jobs : [plannedJob(plan, stage)];
  let ended = 0;
  // Readers first: a job whose input was cancelled would be reported as failed by its dependency.
  for (const planned of wanted.toReversed()) {
    // The children of an array job end with it.
    for (const job of [await findJob(planned, clients), await findArray(planned, clients)]) {
      if (!isActive(job)) continue;
      await clients.batch.terminate(job.job_id, `${CANCELLED} ${user}`);
      clients.emit({ event: 'cancelled', id: planned.job.id, job_id: job.job_id });
      ended += 1;
    }
  }
  return ended;
}
