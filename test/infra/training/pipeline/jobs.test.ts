// A job of the pipeline: how long it is waited for, and what comes of one that finds no machine.
import { describe, expect, it } from 'vitest';
import {
  EXECUTION,
  execute,
  inputOf,
  LOCK,
  plan,
  RunsTable,
  ServiceError,
  stage,
  statesOfJob,
} from '../../../support/pipeline-execution.ts';
import { stateMachineDefinition } from '../../../support/state-machine-definition.ts';
import { record } from '../../../support/synthesis.ts';

describe('a job that finds no machine', () => {
  const REASON = 'Canceled by JobStateTimeLimit action due to reason: CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY';
  const cancelled = (StatusReason = REASON) =>
    new ServiceError('States.TaskFailed', JSON.stringify({ Status: 'FAILED', StatusReason, Attempts: [] }));
  const clip = () => plan(stage('clip', 'gpu'));

  it('is submitted again after an hour, in the same execution, which holds its lock meanwhile', async () => {
    const table = new RunsTable();
    let submissions = 0;
    const outcome = await execute(table, {
      Plan: clip,
      RunStage: () => {
        submissions += 1;
        if (submissions < 3) throw cancelled();
        expect(table.items.get(LOCK)?.held_by).toEqual({ S: EXECUTION });
        return { Status: 'SUCCEEDED' };
      },
    });
    expect(submissions).toBe(3);
    expect(outcome.error).toBeNull();
    expect(outcome.states.filter((state) => state === 'WaitForCapacity')).toHaveLength(2);
    expect(outcome.states.at(-1)).toBe('Done');
    const { WaitForCapacity } = statesOfJob();
    expect(WaitForCapacity).toMatchObject({ Type: 'Wait', Seconds: 3600 });
  });

  it('fails the execution after six pauses, with the reason that Batch gave', async () => {
    const outcome = await execute(new RunsTable(), {
      Plan: clip,
      RunStage: () => {
        throw cancelled();
      },
    });
    expect(inputOf(outcome, 'RunStage')).toHaveLength(7);
    expect(outcome.error).toContain(`States.TaskFailed: `);
    expect(outcome.error).toContain(REASON);
    // The interpreter tells of states within a map late, hence not the order.
    expect(outcome.states).toEqual(expect.arrayContaining(['NotifyFailure', 'ReleaseLock', 'Failed']));
  });

  it('is another one than a job that could never be placed, which fails at once', async () => {
    const outcome = await execute(new RunsTable(), {
      Plan: clip,
      RunStage: () => {
        throw cancelled(REASON.replace(/CAPACITY.*/, 'MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT'));
      },
    });
    expect(inputOf(outcome, 'RunStage')).toHaveLength(1);
    expect(outcome.states).not.toContain('WaitForCapacity');
  });
});

describe('every wait', () => {
  it('for a job has the limit that the plan gives it, also for the job of an array', () => {
    const { RunStage, RunArray } = statesOfJob();
    for (const state of [RunStage, RunArray])
      expect(state).toMatchObject({ TimeoutSecondsPath: '$.timeout_seconds', ResultSelector: {} });
  });

  it('has one: no task of the machine waits without limit, and neither does the machine', () => {
    const { TimeoutSeconds, States } = stateMachineDefinition('prod');
    expect(TimeoutSeconds).toBe(90 * 86_400);
    const waiting = Object.values({ ...States, ...statesOfJob() })
      .map(record)
      .filter(({ Resource }) => /batch:|lambda:|<.*\.Arn>/.test(String(Resource)));
    expect(waiting).toHaveLength(5);
    for (const state of waiting) expect('TimeoutSeconds' in state || 'TimeoutSecondsPath' in state).toBe(true);
  });

  it('that ran out tells, unlocks and fails, without another submission', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, {
      Plan: () => plan(stage('clip', 'gpu')),
      RunStage: () => {
        throw new ServiceError('States.Timeout', 'no end');
      },
    });
    expect(inputOf(outcome, 'RunStage')).toHaveLength(1);
    expect(outcome.states.slice(-4)).toEqual(['NotifyFailure', 'ReleaseLock', 'EvaluateOutcome', 'Failed']);
    expect(table.items.has(LOCK)).toBe(false);
  });
});
