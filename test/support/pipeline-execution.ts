// One execution of the training pipeline's deployed definition, run here: the services that it calls are handlers and a table in memory.
import { ExecutionError, StateMachine } from 'aws-local-stepfunctions';
import { interpretable, stateMachineDefinition } from './state-machine-definition.ts';
import { record } from './synthesis.ts';

export const RECIPE = 'embedded';
export const LOCK = `recipe#${RECIPE} lock`;
export const EXECUTION = 'arn:execution:this';
export const OTHER = 'arn:execution:other';
export const STARTED = '2026-11-25T02:00:00.000Z';

/** A failure of a service as Step Functions names it. */
export class ServiceError extends Error {
  constructor(name: string, message = name) {
    super(message);
    this.name = name;
  }
}
export const CONDITION_FAILED = new ServiceError(
  'DynamoDB.ConditionalCheckFailedException',
  'The conditional request failed',
);

/** The table, as far as the pipeline's four conditions go. */
export class RunsTable {
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
export const keyOf = (item: Record<string, unknown>) => `${record(item.pk).S} ${record(item.sk).S}`;

export const stage = (id: string, queue: string) => ({
  id,
  job_name: `${RECIPE}_${id}_0123456789ab`,
  job_queue: `arn:queue:${queue}`,
  job_definition: `arn:definition:${queue}`,
  job: `s3://training/runs/${RECIPE}/${id}-0123456789ab/job.json`,
  tags: { recipe: RECIPE, job: id },
  timeout_seconds: 3600,
});
export const plan = (...stages: ReturnType<typeof stage>[]) => ({
  recipe: RECIPE,
  to_run: stages.length,
  stages,
  exported: 's3://training/runs/embedded/export-0123456789ab',
  evaluated: 's3://training/runs/embedded/evaluate-0123456789ab',
  dev_data: `sha256:${'1'.repeat(64)}`,
});
export const PLAN = plan(stage('prepare', 'cpu'), stage('clip', 'gpu'), stage('evaluate', 'cpu'));
export const PUBLISH = { decision: 'publish', reasons: ['better by 0.01'], checks: [], incumbent: null };
export const REJECT = { decision: 'reject', reasons: ['recall@1 fell from 0.61 to 0.58'], checks: [], incumbent: null };
export const PUBLISHED = { name: 'clip', manifest: `sha256:${'2'.repeat(64)}`, moved_at: STARTED };

export type Handler = (input: Record<string, unknown>) => unknown;
export interface Outcome {
  /** Every state entered, in order. */
  states: string[];
  /** What each task was given, in order of the calls. */
  calls: [state: string, input: Record<string, unknown>][];
  /** Error and cause that the execution failed with. */
  error: string | null;
}

export async function execute(
  table: RunsTable,
  handlers: Record<string, Handler> = {},
  input: Record<string, string> = { recipe: RECIPE },
  environment: 'dev' | 'prod' = 'prod',
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
  const { result, eventLogs } = new StateMachine(interpretable(stateMachineDefinition(environment)), {
    validationOptions: { checkArn: false },
  }).run(input, {
    context: { Execution: { Id: EXECUTION, StartTime: STARTED }, State: { EnteredTime: STARTED } },
    overrides: {
      taskResourceLocalHandlers: Object.fromEntries(
        names.map((name) => [
          name,
          async (input) => {
            calls.push([name, record(input)]);
            return JSON.parse(JSON.stringify((await (handlers[name] ?? defaults[name])?.(record(input))) ?? {}));
          },
        ]),
      ),
      waitTimeOverrides: { WaitForCapacity: 0, WaitForHolder: 0 },
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

/** The states within the map of stages. */
export const statesOfJob = () =>
  record(record(record(record(stateMachineDefinition('prod').States).RunStages).ItemProcessor).States);

export const inputOf = ({ calls }: Outcome, state: string) =>
  calls.filter(([name]) => name === state).map(([, input]) => input);
