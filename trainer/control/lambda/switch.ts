// The switch of a deployment's spending. A budget that is used up, or a person, stops queues, schedules, executions and jobs with it; a
// person starts queues and schedules again. What was stopped goes on from its checkpoint when it is submitted the next time.
import {
  BatchClient,
  JobStatus,
  paginateListJobs,
  TerminateJobCommand,
  UpdateJobQueueCommand,
} from '@aws-sdk/client-batch';
import { GetScheduleCommand, SchedulerClient, UpdateScheduleCommand } from '@aws-sdk/client-scheduler';
import { paginateListExecutions, SFNClient, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { Spending, type SwitchReport, SwitchRequest } from '../../../contracts/src/training/pipeline.ts';

/** A notification of SNS, which is how a budget calls. */
const Notification = z.object({ Records: z.array(z.object({ Sns: z.object({ Message: z.string() }) })).min(1) });
/** States of a job that has not ended. */
const ACTIVE = [JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNABLE, JobStatus.STARTING, JobStatus.RUNNING];
/** Batch's own limit on the length of a reason. */
const REASON_LENGTH = 1024;

/**
 * Answers what was done. Where AWS refuses something, everything else is done all the same, and the call fails with what was refused: a
 * notification is then delivered again, and what is stopped already stays so.
 */
export async function handler(event: unknown): Promise<SwitchReport> {
  const { action, reason = 'by hand' } = requestOf(event);
  const { queues, schedules, state_machine } = Spending.parse(JSON.parse(process.env[ENVARS.spending] ?? 'null'));
  const steps = new Steps();
  const report: SwitchReport = { action, reason, queues: 0, schedules: 0, executions: 0, jobs: 0 };
  report.queues = await steps.each(queues, (queue) => setQueue(queue, action === 'stop' ? 'DISABLED' : 'ENABLED'));
  const switched = schedules.filter(({ enabled }) => action === 'stop' || enabled);
  report.schedules = await steps.each(switched, ({ name }) =>
    setSchedule(name, action === 'stop' ? 'DISABLED' : 'ENABLED'),
  );
  if (action === 'stop') {
    // Executions before jobs: one that sees its job end would report a failure of the job.
    report.executions = await steps.each(await steps.list(() => runningExecutions(state_machine)), (executionArn) =>
      sfn.send(new StopExecutionCommand({ executionArn, error: 'Stopped', cause: reason })),
    );
    const jobs = await steps.list(() => activeJobs(queues));
    report.jobs = await steps.each(jobs, (jobId) =>
      batch.send(new TerminateJobCommand({ jobId, reason: `stopped: ${reason}`.slice(0, REASON_LENGTH) })),
    );
  }
  console.log(JSON.stringify({ event: 'spending_switched', ...report, refused: steps.refused.length }));
  steps.check();
  return report;
}

const [batch, scheduler, sfn] = [new BatchClient({}), new SchedulerClient({}), new SFNClient({})];

function requestOf(event: unknown): SwitchRequest {
  const notification = Notification.safeParse(event);
  if (!notification.success) return SwitchRequest.parse(event);
  return { action: 'stop', reason: notification.data.Records.map(({ Sns }) => Sns.Message).join('; ') };
}

/** Calls of which each is made, whatever became of the others. */
class Steps {
  readonly refused: unknown[] = [];

  /** The number of calls that succeeded. */
  async each<T>(items: readonly T[], call: (item: T) => Promise<unknown>): Promise<number> {
    const results = await Promise.allSettled(items.map(call));
    const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    this.refused.push(...failures);
    return items.length - failures.length;
  }

  async list<T>(call: () => Promise<T[]>): Promise<T[]> {
    try {
      return await call();
    } catch (error) {
      this.refused.push(error);
      return [];
    }
  }

  check(): void {
    if (this.refused.length > 0)
      throw new AggregateError(this.refused, `AWS refused ${this.refused.length} calls: ${this.refused.join('; ')}`);
  }
}

const setQueue = (jobQueue: string, state: 'ENABLED' | 'DISABLED') =>
  batch.send(new UpdateJobQueueCommand({ jobQueue, state }));

/** An update says all of a schedule anew, or forgets it. */
async function setSchedule(Name: string, State: 'ENABLED' | 'DISABLED'): Promise<void> {
  const {
    Arn: _,
    CreationDate: __,
    LastModificationDate: ___,
    $metadata: ____,
    ...schedule
  } = await scheduler.send(new GetScheduleCommand({ Name }));
  const { Target, FlexibleTimeWindow, ScheduleExpression } = schedule;
  await scheduler.send(
    new UpdateScheduleCommand({ ...schedule, Name, Target, FlexibleTimeWindow, ScheduleExpression, State }),
  );
}

async function runningExecutions(stateMachineArn: string): Promise<string[]> {
  const found: string[] = [];
  const pages = paginateListExecutions({ client: sfn }, { stateMachineArn, statusFilter: 'RUNNING' });
  for await (const { executions = [] } of pages)
    found.push(...executions.flatMap(({ executionArn }) => executionArn ?? []));
  return found;
}

async function activeJobs(queues: Spending['queues']): Promise<string[]> {
  const found: string[] = [];
  for (const jobQueue of queues)
    for (const jobStatus of ACTIVE)
      for await (const { jobSummaryList = [] } of paginateListJobs({ client: batch }, { jobQueue, jobStatus }))
        found.push(...jobSummaryList.flatMap(({ jobId }) => jobId ?? []));
  return [...new Set(found)];
}
