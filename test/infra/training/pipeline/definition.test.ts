// The deployed definition, run: which states an execution passes through, what they are given, and who holds the lock.
import { describe, expect, it } from 'vitest';
import {
  EXECUTION,
  execute,
  inputOf,
  LOCK,
  OTHER,
  PLAN,
  PUBLISH,
  PUBLISHED,
  plan,
  RECIPE,
  REJECT,
  RunsTable,
  ServiceError,
  STARTED,
  stage,
} from '../../../support/pipeline-execution.ts';
import { stateMachineDefinition } from '../../../support/state-machine-definition.ts';
import { array, record } from '../../../support/synthesis.ts';

describe('an execution', () => {
  it('runs what is missing one after the other, gates, publishes, records, tells and unlocks', async () => {
    const table = new RunsTable();
    const outcome = await execute(table);
    expect(outcome.error).toBeNull();
    expect(outcome.states).toEqual([
      'IsNewData',
      'AcquireLock',
      'Plan',
      'IsPlanned',
      'RunStages',
      'NoPauseYet',
      'IsArray',
      'RunStage',
      'NoPauseYet',
      'IsArray',
      'RunStage',
      'NoPauseYet',
      'IsArray',
      'RunStage',
      'Gate',
      'IsGoodEnough',
      'Publish',
      'RecordRun',
      'Notify',
      'ReleaseLock',
      'EvaluateOutcome',
      'Done',
    ]);
    expect(table.items.has(LOCK)).toBe(false);
  });

  it('holds the lock in its own name from before the plan until after the report', async () => {
    const table = new RunsTable();
    const held: Record<string, unknown> = {};
    const look = (state: string, answer: unknown) => () => {
      held[state] = table.items.get(LOCK)?.held_by;
      return answer;
    };
    await execute(table, { Plan: look('Plan', PLAN), Publish: look('Publish', PUBLISHED), Notify: look('Notify', {}) });
    expect(held).toEqual({ Plan: { S: EXECUTION }, Publish: { S: EXECUTION }, Notify: { S: EXECUTION } });
  });

  it('starts one job at a time, in the order of the plan', async () => {
    let running = 0;
    let most = 0;
    const outcome = await execute(new RunsTable(), {
      RunStage: () => {
        running += 1;
        most = Math.max(most, running);
        running -= 1;
        return {};
      },
    });
    expect(most).toBe(1);
    expect(inputOf(outcome, 'RunStage')).toEqual([
      {
        JobName: 'embedded_prepare_0123456789ab',
        JobQueue: 'arn:queue:cpu',
        JobDefinition: 'arn:definition:cpu',
        Parameters: { job: 's3://training/runs/embedded/prepare-0123456789ab/job.json' },
        Tags: { recipe: RECIPE, job: 'prepare' },
      },
      expect.objectContaining({ JobName: 'embedded_clip_0123456789ab', JobQueue: 'arn:queue:gpu' }),
      expect.objectContaining({ JobName: 'embedded_evaluate_0123456789ab', JobQueue: 'arn:queue:cpu' }),
    ]);
  });

  it('hands the functions what they expect, and nothing else', async () => {
    const outcome = await execute(new RunsTable());
    expect(inputOf(outcome, 'Plan')).toEqual([{ recipe: RECIPE }]);
    expect(inputOf(outcome, 'Gate')).toEqual([{ plan: PLAN }]);
    expect(inputOf(outcome, 'Publish')).toEqual([{ plan: PLAN, decision: PUBLISH }]);
  });

  it('records what was decided and published, under the time it started', async () => {
    const table = new RunsTable();
    await execute(table);
    const [key = '', item] = [...table.items][0] ?? [];
    expect(table.items.size).toBe(1);
    expect(key).toMatch(/^recipe#embedded run#\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(item).toMatchObject({
      execution: { S: EXECUTION },
      decision: { S: 'publish' },
      reasons: { S: '["better by 0.01"]' },
      manifest: { S: PUBLISHED.manifest },
      exported: { S: PLAN.exported },
      evaluated: { S: PLAN.evaluated },
    });
  });
});

describe('with nothing to run', () => {
  const CURRENT = { ...REJECT, reasons: ['clip 1.4.0 is current already'] };

  it('and nothing new, an execution publishes, records and reports nothing, and unlocks', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, { Plan: () => plan(), Gate: () => CURRENT });
    expect(outcome.states).toEqual([
      'IsNewData',
      'AcquireLock',
      'Plan',
      'IsPlanned',
      'RunStages',
      'Gate',
      'IsGoodEnough',
      'ReleaseLock',
      'EvaluateOutcome',
      'NothingToRun',
    ]);
    expect(outcome.error).toBeNull();
    expect([...table.items]).toEqual([]);
  });

  it('a stage with an array is run as its array job, then as the job that joins', async () => {
    const prepare = stage('prepare', 'cpu');
    const children = { ...prepare, job_name: `${RECIPE}_prepare-array_0123456789ab`, array_size: 7 };
    const outcome = await execute(new RunsTable(), { Plan: () => plan(children, prepare) });
    expect(outcome.states.filter((state) => ['RunArray', 'RunStage'].includes(state))).toEqual([
      'RunArray',
      'RunStage',
    ]);
    const [array] = inputOf(outcome, 'RunArray');
    expect(array).toMatchObject({ JobName: children.job_name, ArrayProperties: { Size: 7 } });
    expect(inputOf(outcome, 'RunStage')[0]).not.toHaveProperty('ArrayProperties');
  });

  it('but a model that was never published, an execution publishes it', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, { Plan: () => plan() });
    expect(outcome.states).not.toContain('RunStage');
    expect(outcome.states.slice(-6)).toEqual([
      'Publish',
      'RecordRun',
      'Notify',
      'ReleaseLock',
      'EvaluateOutcome',
      'Done',
    ]);
    expect(table.items.has(LOCK)).toBe(false);
  });
});

describe('new data', () => {
  const POINTER = { pointer: `datasets/${RECIPE}/current.json` };

  it('starts the recipe of its name, under the same lock', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, { Plan: () => plan(), Gate: () => REJECT }, POINTER);
    expect(outcome.states.slice(0, 5)).toEqual(['IsNewData', 'RecipeOfPointer', 'AcquireLock', 'Plan', 'IsPlanned']);
    expect(inputOf(outcome, 'Plan')).toEqual([{ recipe: RECIPE }]);
    expect(outcome.states.at(-1)).toBe('NothingToRun');
    expect(table.items.has(LOCK)).toBe(false);
  });

  it('waits for an execution that planned without it, and then plans', async () => {
    const table = new RunsTable();
    table.items.set(LOCK, { pk: { S: `recipe#${RECIPE}` }, sk: { S: 'lock' }, held_by: { S: OTHER } });
    let asked = 0;
    const DescribeHolder = () => {
      asked += 1;
      return { Status: asked < 3 ? 'RUNNING' : 'SUCCEEDED' };
    };
    const outcome = await execute(table, { DescribeHolder }, POINTER);
    expect(outcome.states.filter((state) => state === 'WaitForHolder')).toHaveLength(2);
    expect(outcome.states).toContain('TakeOverLock');
    expect(outcome.states.at(-1)).toBe('Done');
  });

  it('and a schedule that come before the first submission end well, without a gate, a record or a report', async () => {
    for (const input of [POINTER, { recipe: RECIPE }]) {
      const table = new RunsTable();
      const outcome = await execute(table, { Plan: () => ({ recipe: RECIPE, idle: 'never submitted' }) }, input);
      expect(outcome.states.slice(-4)).toEqual(['IsPlanned', 'ReleaseLock', 'EvaluateOutcome', 'NeverSubmitted']);
      expect(outcome.error).toBeNull();
      expect([...table.items]).toEqual([]);
    }
  });
});

describe('with a worse candidate', () => {
  it('an execution publishes nothing, records why, and succeeds', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, { Gate: () => REJECT });
    expect(outcome.states.slice(-7)).toEqual([
      'Gate',
      'IsGoodEnough',
      'RecordRejection',
      'Notify',
      'ReleaseLock',
      'EvaluateOutcome',
      'Rejected',
    ]);
    expect(outcome.error).toBeNull();
    const [item] = [...table.items.values()];
    expect(item).toMatchObject({ decision: { S: 'reject' }, reasons: { S: JSON.stringify(REJECT.reasons) } });
    expect(item).not.toHaveProperty('manifest');
    expect(inputOf(outcome, 'Notify')).toEqual([
      {
        TopicArn: expect.stringContaining('TrainingPipelineReports'),
        Message: { recipe: RECIPE, execution: EXECUTION, decision: 'reject', reasons: REJECT.reasons },
      },
    ]);
  });
});

describe('after a failure', () => {
  const fails = (name: string, message: string) => () => {
    throw new ServiceError(name, message);
  };

  it.each([
    { state: 'Plan', error: 'UserError', cause: 'nothing was submitted under this name' },
    { state: 'RunStage', error: 'States.TaskFailed', cause: 'Essential container in task exited' },
    { state: 'Gate', error: 'UserError', cause: 'report.json is missing' },
    { state: 'Publish', error: 'UserError', cause: 'the pointer moved meanwhile' },
    { state: 'RecordRun', error: 'DynamoDB.ResourceNotFoundException', cause: 'no such table' },
    { state: 'Notify', error: 'SNS.AuthorizationErrorException', cause: 'not allowed' },
  ])('of $state an execution tells, unlocks and fails with the first cause', async ({ state, error, cause }) => {
    const table = new RunsTable();
    // The last stage fails: the interpreter, unlike the service, would still start those that wait behind it.
    const outcome = await execute(table, { Plan: () => plan(stage('clip', 'gpu')), [state]: fails(error, cause) });
    expect(outcome.states.slice(-4)).toEqual(['NotifyFailure', 'ReleaseLock', 'EvaluateOutcome', 'Failed']);
    expect(outcome.error).toBe(`${error}: ${cause}`);
    expect(inputOf(outcome, 'NotifyFailure')).toEqual([
      {
        TopicArn: expect.stringContaining('TrainingPipelineReports'),
        Message: { recipe: RECIPE, execution: EXECUTION, error: { Error: error, Cause: cause } },
      },
    ]);
    expect(table.items.has(LOCK)).toBe(false);
  });

  it('of a stage neither the gate nor the publisher is asked', async () => {
    const outcome = await execute(new RunsTable(), { RunStage: fails('States.TaskFailed', 'exit 1') });
    expect(outcome.states).not.toContain('Gate');
    expect(outcome.states).not.toContain('Publish');
  });

  it('of the report an execution unlocks all the same', async () => {
    const table = new RunsTable();
    const outcome = await execute(table, {
      Gate: fails('UserError', 'report.json is missing'),
      NotifyFailure: fails('SNS.AuthorizationErrorException', 'not allowed'),
    });
    expect(table.items.has(LOCK)).toBe(false);
    expect(outcome.error).toBe('UserError: report.json is missing');
  });

  it('of a job nothing is tried again, of the Batch API the call is', async () => {
    const failed = await execute(new RunsTable(), {
      Plan: () => plan(stage('clip', 'gpu')),
      RunStage: fails('States.TaskFailed', 'exit 1'),
    });
    expect(inputOf(failed, 'RunStage')).toHaveLength(1);
    let calls = 0;
    const throttled = await execute(new RunsTable(), {
      Plan: () => plan(stage('clip', 'gpu')),
      RunStage: () => {
        calls += 1;
        if (calls < 3) throw new ServiceError('Batch.AWSBatchException', 'Too Many Requests');
        return {};
      },
    });
    expect(calls).toBe(3);
    expect(throttled.error).toBeNull();
    expect(throttled.states.at(-1)).toBe('Done');
  });
});

describe('while another execution holds the lock', () => {
  const locked = (holder = OTHER) => {
    const table = new RunsTable();
    table.items.set(LOCK, {
      pk: { S: `recipe#${RECIPE}` },
      sk: { S: 'lock' },
      held_by: { S: holder },
      acquired_at: { S: STARTED },
    });
    return table;
  };
  const holderIs = (Status: string) => ({
    DescribeHolder: () => ({ Status, ExecutionArn: OTHER, StartDate: STARTED }),
  });

  it.each(['RUNNING', 'PENDING_REDRIVE'])(
    'and is %s, this one does nothing and leaves the lock alone',
    async (status) => {
      const table = locked();
      const outcome = await execute(table, holderIs(status));
      expect(outcome.states).toEqual([
        'IsNewData',
        'AcquireLock',
        'ReadLock',
        'IsLocked',
        'DescribeHolder',
        'IsHolderRunning',
        'IsWorthWaiting',
        'Busy',
      ]);
      expect(inputOf(outcome, 'DescribeHolder')).toEqual([{ ExecutionArn: OTHER }]);
      expect(outcome.error).toContain('RecipeBusy: Another execution of this recipe is running.');
      expect(table.items.get(LOCK)?.held_by).toEqual({ S: OTHER });
    },
  );

  it.each(['ABORTED', 'FAILED', 'SUCCEEDED', 'TIMED_OUT'])(
    'but has %s, this one takes the lock over and lets go of it',
    async (status) => {
      const table = locked();
      const outcome = await execute(table, holderIs(status));
      expect(outcome.states.slice(0, 8)).toEqual([
        'IsNewData',
        'AcquireLock',
        'ReadLock',
        'IsLocked',
        'DescribeHolder',
        'IsHolderRunning',
        'TakeOverLock',
        'Plan',
      ]);
      expect(outcome.states.at(-1)).toBe('Done');
      expect(table.items.has(LOCK)).toBe(false);
    },
  );

  it('but has ended, and the answer to the takeover is lost, this one goes on with what it holds', async () => {
    const table = locked();
    let answers = 0;
    const outcome = await execute(table, {
      DescribeHolder: () => ({ Status: 'FAILED' }),
      TakeOverLock: (request) => {
        const answer = table.put(request);
        answers += 1;
        if (answers === 1) throw new ServiceError('DynamoDB.SdkClientException', 'Read timed out');
        return answer;
      },
    });
    expect(answers).toBe(2);
    expect(outcome.states.at(-1)).toBe('Done');
    expect(table.items.has(LOCK)).toBe(false);
  });

  it('and a third one was quicker to take it over, this one does nothing', async () => {
    const table = locked();
    const outcome = await execute(table, {
      DescribeHolder: () => {
        table.items.set(LOCK, { ...table.items.get(LOCK), held_by: { S: 'arn:execution:third' } });
        return { Status: 'ABORTED' };
      },
    });
    expect(outcome.states.at(-1)).toBe('Busy');
    expect(table.items.get(LOCK)?.held_by).toEqual({ S: 'arn:execution:third' });
  });

  it('and lets go of it between two looks, this one takes it', async () => {
    const table = locked();
    let looks = 0;
    const outcome = await execute(table, {
      ReadLock: (request) => {
        looks += 1;
        if (looks === 1) table.items.delete(LOCK);
        return table.get(request);
      },
    });
    expect(outcome.states.slice(1, 6)).toEqual(['AcquireLock', 'ReadLock', 'IsLocked', 'AcquireLock', 'Plan']);
    expect(outcome.states.at(-1)).toBe('Done');
  });

  it('and nobody can say whether it runs, this one fails and leaves the lock alone', async () => {
    const table = locked();
    const outcome = await execute(table, {
      DescribeHolder: () => {
        throw new ServiceError('Sfn.ExecutionDoesNotExistException', 'no such execution');
      },
    });
    expect(outcome.states.slice(-4)).toEqual(['NotifyFailure', 'ReleaseLock', 'EvaluateOutcome', 'Failed']);
    expect(table.items.get(LOCK)?.held_by).toEqual({ S: OTHER });
  });

  it('and is this very one, whose first answer got lost, it goes on', async () => {
    const table = locked(EXECUTION);
    const outcome = await execute(table);
    expect(outcome.states.slice(0, 3)).toEqual(['IsNewData', 'AcquireLock', 'Plan']);
    expect(table.items.has(LOCK)).toBe(false);
  });
});

describe('the definition', () => {
  const { States } = stateMachineDefinition('prod');

  it('knows no stage, and is the same in every environment but for what it refers to', () => {
    const text = JSON.stringify(States);
    for (const name of ['mntp', 'contrastive', 'embed_captions', 'distill', 'prepare'])
      expect(text).not.toContain(name);
    const shape = (environment: 'dev' | 'prod') =>
      JSON.stringify(stateMachineDefinition(environment)).replaceAll(/-(dev|prod)-/g, '-');
    expect(shape('dev')).toBe(shape('prod'));
  });

  it('waits for jobs by .sync', () => {
    expect(States.RunStages).toMatchObject({
      Type: 'Map',
      MaxConcurrency: 1,
      ItemProcessor: { States: { RunStage: { Resource: 'arn:aws:states:::batch:submitJob.sync' } } },
    });
  });

  it('catches whatever can go wrong in each task', () => {
    const uncaught = Object.entries(States).filter(([, state]) => {
      if (state.Type !== 'Task' && state.Type !== 'Map') return false;
      const last = array('Catch' in state ? state.Catch : []).at(-1);
      return last === undefined || record(last).ErrorEquals?.toString() !== 'States.ALL';
    });
    expect(uncaught).toEqual([]);
  });
});
