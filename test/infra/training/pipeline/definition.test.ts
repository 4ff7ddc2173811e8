// The deployed definition, run: which states an execution passes through, what they are given, and who holds the lock.
import { ExecutionError, StateMachine } from 'aws-local-stepfunctions';
import { describe, expect, it } from 'vitest';
import { stateMachineDefinition } from '../../../support/state-machine-definition.ts';
import { array, record } from '../../../support/synthesis.ts';

const RECIPE = 'embedded';
const LOCK = `recipe#${RECIPE} lock`;
const EXECUTION = 'arn:execution:this';
const OTHER = 'arn:execution:other';
const STARTED = '2026-11-25T02:00:00.000Z';

/** A failure of a service as Step Functions names it. */
class ServiceError extends Error {
  constructor(name: string, message = name) {
    super(message);
    this.name = name;
  }
}
const CONDITION_FAILED = new ServiceError('DynamoDB.ConditionalCheckFailedException', 'The conditional request failed');

/** The table, as far as the pipeline's four conditions go. */
class RunsTable {
  readonly items = new Map<string, Record<string, unknown>>();

  put = (request: Record<string, unknown>) => {
    const item = record(request.Item);
    const key = keyOf(item);
    if (!this.holds(request, this.items.get(key))) throw CONDITION_FAILED;
    this.items.set(key, item);
    return {};
  };
  get = (request: Record<string, unknown>) => {
    const found = this.items.get(keyOf(record(request.Key)));
    return found === undefined ? {} : { Item: found };
  };
  delete = (request: Record<string, unknown>) => {
    const key = keyOf(record(request.Key));
    if (!this.holds(request, this.items.get(key))) throw CONDITION_FAILED;
    this.items.delete(key);
    return {};
  };

  private holds(request: Record<string, unknown>, item: Record<string, unknown> | undefined): boolean {
    const { ConditionExpression } = request;
    if (ConditionExpression === undefined) return true;
    const values = record(request.ExpressionAttributeValues);
    return String(ConditionExpression)
      .split(' OR ')
      .some((term) => {
        if (term === 'attribute_not_exists(pk)') return item === undefined;
        const [, attribute = '', name = ''] = /^(\w+) = (:\w+)$/.exec(term) ?? [];
        return item !== undefined && JSON.stringify(item[attribute]) === JSON.stringify(values[name]);
      });
  }
}
const keyOf = (item: Record<string, unknown>) => `${record(item.pk).S} ${record(item.sk).S}`;

const stage = (id: string, queue: string) => ({
  id,
  job_name: `${RECIPE}_${id}_0123456789ab`,
  job_queue: `arn:queue:${queue}`,
  job_definition: `arn:definition:${queue}`,
  job: `s3://training/runs/${RECIPE}/${id}-0123456789ab/job.json`,
  tags: { recipe: RECIPE, job: id },
});
const plan = (...stages: ReturnType<typeof stage>[]) => ({
  recipe: RECIPE,
  to_run: stages.length,
  stages,
  exported: 's3://training/runs/embedded/export-0123456789ab',
  evaluated: 's3://training/runs/embedded/evaluate-0123456789ab',
  dev_data: `sha256:${'1'.repeat(64)}`,
});
const PLAN = plan(stage('prepare', 'cpu'), stage('clip', 'gpu'), stage('evaluate', 'cpu'));
const PUBLISH = { decision: 'publish', reasons: ['better by 0.01'], checks: [], incumbent: null };
const REJECT = { decision: 'reject', reasons: ['recall@1 fell from 0.61 to 0.58'], checks: [], incumbent: null };
const PUBLISHED = { name: 'clip', manifest: `sha256:${'2'.repeat(64)}`, moved_at: STARTED };

type Handler = (input: Record<string, unknown>) => unknown;
interface Outcome {
  /** Every state entered, in order. */
  states: string[];
  /** What each task was given, in order of the calls. */
  calls: [state: string, input: Record<string, unknown>][];
  /** Error and cause that the execution failed with. */
  error: string | null;
}

async function execute(
  table: RunsTable,
  handlers: Record<string, Handler> = {},
  input: Record<string, string> = { recipe: RECIPE },
): Promise<Outcome> {
  const calls: Outcome['calls'] = [];
  const defaults: Record<string, Handler> = {
    AcquireLock: table.put,
    ReadLock: table.get,
    DescribeHolder: () => ({ Status: 'RUNNING', ExecutionArn: OTHER, StartDate: STARTED }),
    TakeOverLock: table.put,
    Plan: () => PLAN,
    RunStage: () => ({ Status: 'SUCCEEDED' }),
    RunArray: () => ({ Status: 'SUCCEEDED' }),
    Gate: () => PUBLISH,
    Publish: () => PUBLISHED,
    RecordRun: table.put,
    RecordRejection: table.put,
    Notify: () => ({ MessageId: '1' }),
    NotifyFailure: () => ({ MessageId: '2' }),
    ReleaseLock: table.delete,
  };
  const names = Object.keys(defaults);
  const { result, eventLogs } = new StateMachine(stateMachineDefinition('prod'), {
    validationOptions: { checkArn: false },
  }).run(input, {
    context: { Execution: { Id: EXECUTION, StartTime: STARTED }, State: { EnteredTime: STARTED } },
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(
        names.map((name) => [
          name,
          async (input) => {
            calls.push([name, record(input)]);
            return JSON.parse(JSON.stringify((handlers[name] ?? defaults[name])?.(record(input)) ?? {}));
          },
        ]),
      ),
      waitTimeOverrides: { WaitForHolder: 0 },
      retryIntervalOverrides: Object.fromEntries(names.map((name) => [name, 0])),
    },
  });
  const states: string[] = [];
  const watched = (async () => {
    for await (const event of eventLogs) if (event.type === 'StateEntered') states.push(event.state.name);
  })();
  const error = await result.then(
    () => null,
    (reason: unknown) => {
      if (!(reason instanceof ExecutionError)) throw reason;
      return String(reason.cause);
    },
  );
  await watched;
  return { states, calls, error };
}

const inputOf = ({ calls }: Outcome, state: string) =>
  calls.filter(([name]) => name === state).map(([, input]) => input);

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
      'IsArray',
      'RunStage',
      'IsArray',
      'RunStage',
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
