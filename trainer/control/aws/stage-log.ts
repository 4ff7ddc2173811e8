// Prints the log of a submitted stage, to its end or as it grows.
import { UserError } from '../../../contracts/src/user-error.ts';
import { type AwsClients, findJob, isActive } from './clients.ts';
import { plannedJob, readSubmittedPlan } from './submitted-plan.ts';

const POLL_INTERVAL_MS = 2_000;

export interface StageLogOptions {
  /** The recipe's name. */
  recipe: string;
  stage: string;
  /** Goes on until the job has ended. */
  follow: boolean;
  /** Aborts: stop following. */
  stop: AbortSignal;
}

/** Emits the lines of every attempt that begins while it is read. */
export async function printStageLog(
  { recipe, stage, follow, stop }: StageLogOptions,
  clients: AwsClients,
): Promise<void> {
  const { plan } = await readSubmittedPlan(recipe, clients.store);
  const planned = plannedJob(plan, stage);
  let token: string | undefined;
  let stream: string | undefined;
  for (let isFirst = true; ; isFirst = false) {
    const job = await findJob(planned, clients);
    if (job === undefined && isFirst)
      throw new UserError(`${stage} was never submitted, or so long ago that Batch forgot it`);
    if (job !== undefined && job.log_stream !== stream) {
      // Every attempt has a stream of its own.
      stream = job.log_stream;
      token = undefined;
    }
    if (stream !== undefined) {
      const { lines, token: next } = await clients.logs.read(stream, token);
      for (const line of lines) clients.emit({ event: 'log', id: stage, ...line });
      const isDrained = next === token || next === undefined;
      token = next;
      if (!isDrained && !stop.aborted) continue;
    }
    if (!follow || !isActive(job) || stop.aborted) return;
    await pause(POLL_INTERVAL_MS, stop);
  }
}

function pause(milliseconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    stop.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
