// States that run one job of the plan on Batch: within a limit of time, and again later where no machine was to be had.
import { BATCH_RETRY } from './errors.ts';
import type { State } from './lock.ts';

/** What Batch says of a job that its queue gave up, because no machine could be started for it: none on spot and none on demand. */
const NO_CAPACITY = '*CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY*';
/** How long an execution waits before it submits such a job again, and how often it does. */
const PAUSE_SECONDS = 3600;
const PAUSES = 6;

/** The states that every job of the plan goes through. */
export function runJob(): { StartAt: string; States: Record<string, State> } {
  return {
    StartAt: 'NoPauseYet',
    States: {
      NoPauseYet: { Type: 'Pass', Result: { pauses: 0 }, ResultPath: '$.capacity', Next: 'IsArray' },
      IsArray: {
        Type: 'Choice',
        Choices: [{ Variable: '$.array_size', IsPresent: true, Next: 'RunArray' }],
        Default: 'RunStage',
      },
      RunArray: submit({ ArrayProperties: { 'Size.$': '$.array_size' } }),
      RunStage: submit({}),
      IsCapacityMissing: {
        Type: 'Choice',
        Choices: [
          {
            And: [
              { Variable: '$.failure.Cause', StringMatches: NO_CAPACITY },
              { Variable: '$.capacity.pauses', NumericLessThan: PAUSES },
            ],
            Next: 'CountPause',
          },
        ],
        Default: 'JobFailed',
      },
      CountPause: {
        Type: 'Pass',
        Parameters: { 'pauses.$': 'States.MathAdd($.capacity.pauses, 1)' },
        ResultPath: '$.capacity',
        Next: 'WaitForCapacity',
      },
      WaitForCapacity: { Type: 'Wait', Seconds: PAUSE_SECONDS, Next: 'IsArray' },
      JobFailed: { Type: 'Fail', ErrorPath: '$.failure.Error', CausePath: '$.failure.Cause' },
    },
  };
}

/** A state that submits the job and waits for its end; an array job ends when all of its children have. */
function submit(more: Record<string, unknown>): State {
  return {
    Type: 'Task',
    Resource: 'arn:aws:states:::batch:submitJob.sync',
    Parameters: {
      'JobName.$': '$.job_name',
      'JobQueue.$': '$.job_queue',
      'JobDefinition.$': '$.job_definition',
      Parameters: { 'job.$': '$.job' },
      ...more,
      'Tags.$': '$.tags',
    },
    // Batch counts an attempt's time from when its container starts: a job that is never placed would be waited for without limit.
    TimeoutSecondsPath: '$.timeout_seconds',
    // The description of a job grows with its attempts, and those of a whole plan could pass the 256 KB of a state's data.
    ResultSelector: {},
    Retry: [BATCH_RETRY],
    // Not of a timeout, which this name leaves out: it goes to the failure of the execution.
    Catch: [{ ErrorEquals: ['States.TaskFailed'], ResultPath: '$.failure', Next: 'IsCapacityMissing' }],
    End: true,
  };
}
