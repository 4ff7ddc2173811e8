// The training pipeline in the Amazon States Language: lock, plan, run what is missing, gate, publish, record, unlock.
// It knows no stage. What a state hands on is contracts/src/training/pipeline.ts.
import { BATCH_RETRY, LAMBDA_RETRY, ON_ERROR, SERVICE_RETRY } from './errors.ts';
import { lock, RECIPE_KEY, releaseLock, type State } from './lock.ts';

/** Names and ARNs that the states refer to. */
export interface PipelineParts {
  /** Name of the table with locks and records of runs. */
  table: string;
  /** ARN of the topic that outcomes are reported to. */
  topic: string;
  /** ARNs of the three functions. */
  plan: string;
  gate: string;
  publish: string;
}

export function pipelineDefinition(parts: PipelineParts) {
  return {
    Comment: 'Trains a recipe as far as something is missing, and publishes the model if the gate lets it through',
    StartAt: 'IsNewData',
    States: { ...start(), ...lock(parts.table, 'Plan'), ...work(parts), ...close(parts) } satisfies Record<
      string,
      State
    >,
  };
}

/** An execution is for a recipe, by its name or by the pointer of its data that has moved. */
function start(): Record<string, State> {
  return {
    IsNewData: {
      Type: 'Choice',
      Choices: [{ Variable: '$.pointer', IsPresent: true, Next: 'RecipeOfPointer' }],
      Default: 'AcquireLock',
    },
    RecipeOfPointer: {
      Type: 'Pass',
      // The key is contracts/src/keys.ts' datasetKey: its second part is the name.
      Parameters: {
        'pointer.$': '$.pointer',
        'recipe.$': "States.ArrayGetItem(States.StringSplit($.pointer, '/'), 1)",
      },
      Next: 'AcquireLock',
    },
  };
}

/** A state that calls one of the functions. */
interface Call {
  Resource: string;
  Parameters: Record<string, string>;
  ResultPath: string;
  Next: string;
}

function work({ table, topic, plan, gate, publish }: PipelineParts): Record<string, State> {
  const call = (state: Call) => ({
    ...state,
    Type: 'Task',
    TimeoutSeconds: 900,
    Retry: [LAMBDA_RETRY],
    Catch: ON_ERROR,
  });
  const record = (manifest: Record<string, unknown>) => ({
    Type: 'Task',
    Resource: 'arn:aws:states:::dynamodb:putItem',
    Parameters: {
      TableName: table,
      Item: {
        pk: RECIPE_KEY,
        sk: { 'S.$': "States.Format('run#{}', $$.Execution.StartTime)" },
        execution: { 'S.$': '$$.Execution.Id' },
        decision: { 'S.$': '$.decision.decision' },
        reasons: { 'S.$': 'States.JsonToString($.decision.reasons)' },
        exported: { 'S.$': '$.plan.exported' },
        evaluated: { 'S.$': '$.plan.evaluated' },
        ...manifest,
      },
    },
    ResultPath: null,
    Retry: [SERVICE_RETRY],
    Catch: ON_ERROR,
    Next: 'Notify',
  });
  return {
    // Where nothing is missing the map does nothing, and the gate is asked all the same: what was trained by hand, or
    // before a publication that failed, has not been decided on yet.
    Plan: call({
      Resource: plan,
      Parameters: { 'recipe.$': '$.recipe' },
      ResultPath: '$.plan',
      Next: 'IsPlanned',
    }),
    IsPlanned: {
      Type: 'Choice',
      Choices: [{ Variable: '$.plan.idle', IsPresent: true, Next: 'ReleaseLock' }],
      Default: 'RunStages',
    },
    RunStages: {
      Type: 'Map',
      ItemsPath: '$.plan.stages',
      // Each stage reads what the one before it wrote.
      MaxConcurrency: 1,
      ItemProcessor: {
        ProcessorConfig: { Mode: 'INLINE' },
        StartAt: 'IsArray',
        States: {
          IsArray: {
            Type: 'Choice',
            Choices: [{ Variable: '$.array_size', IsPresent: true, Next: 'RunArray' }],
            Default: 'RunStage',
          },
          RunArray: runJob({ ArrayProperties: { 'Size.$': '$.array_size' } }),
          RunStage: runJob({}),
        },
      },
      ResultPath: null,
      Catch: ON_ERROR,
      Next: 'Gate',
    },
    Gate: call({
      Resource: gate,
      Parameters: { 'plan.$': '$.plan' },
      ResultPath: '$.decision',
      Next: 'IsGoodEnough',
    }),
    IsGoodEnough: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.decision.decision', StringEquals: 'publish', Next: 'Publish' },
        // It is current already, or was rejected and reported when it was trained.
        { Variable: '$.plan.to_run', NumericEquals: 0, Next: 'ReleaseLock' },
      ],
      Default: 'RecordRejection',
    },
    Publish: call({
      Resource: publish,
      Parameters: { 'plan.$': '$.plan', 'decision.$': '$.decision' },
      ResultPath: '$.published',
      Next: 'RecordRun',
    }),
    RecordRun: record({ manifest: { 'S.$': '$.published.manifest' } }),
    RecordRejection: record({}),
    Notify: {
      ...notify(topic, { 'decision.$': '$.decision.decision', 'reasons.$': '$.decision.reasons' }),
      Catch: ON_ERROR,
    },
  };
}

/** A state that submits a Batch job and waits for its end; an array job ends when all of its children have. */
function runJob(more: Record<string, unknown>) {
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
    Retry: [BATCH_RETRY],
    End: true,
  };
}

/** Reports the outcome, and releases the lock on every path. */
function close({ table, topic }: PipelineParts): Record<string, State> {
  return {
    NotifyFailure: {
      ...notify(topic, { 'error.$': '$.error' }),
      // A report that cannot be sent is not a reason to keep the lock.
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.silent', Next: 'ReleaseLock' }],
    },
    ReleaseLock: releaseLock(table, 'EvaluateOutcome'),
    EvaluateOutcome: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.error', IsPresent: true, Next: 'Failed' },
        { Variable: '$.plan.idle', IsPresent: true, Next: 'NeverSubmitted' },
        { Variable: '$.decision.decision', StringEquals: 'publish', Next: 'Done' },
        { Variable: '$.plan.to_run', NumericEquals: 0, Next: 'NothingToRun' },
      ],
      Default: 'Rejected',
    },
    Done: { Type: 'Succeed' },
    NothingToRun: { Type: 'Succeed' },
    // A schedule, or data that came before its recipe.
    NeverSubmitted: { Type: 'Succeed' },
    // A worse candidate is not a failure of the pipeline: the model in use stays.
    Rejected: { Type: 'Succeed' },
    Failed: { Type: 'Fail', ErrorPath: '$.error.Error', CausePath: '$.error.Cause' },
  };
}

function notify(topic: string, outcome: Record<string, string>) {
  return {
    Type: 'Task',
    Resource: 'arn:aws:states:::sns:publish',
    Parameters: {
      TopicArn: topic,
      Message: { 'recipe.$': '$.recipe', 'execution.$': '$$.Execution.Id', ...outcome },
    },
    ResultPath: null,
    Retry: [SERVICE_RETRY],
    Next: 'ReleaseLock',
  };
}
