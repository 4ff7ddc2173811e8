// The training pipeline in the Amazon States Language: lock, plan, run what is missing, gate, publish, record, unlock.
// It knows no stage. What a state hands on is contracts/src/pipeline.ts.

/** ARNs and names that the states refer to. */
export interface PipelineParts {
  table: string;
  topic: string;
  plan: string;
  gate: string;
  publish: string;
}

type State = Record<string, unknown> & { Type: string };

/** Failures of the services themselves, not of what they were asked. */
const LAMBDA_RETRY = {
  ErrorEquals: [
    'Lambda.ServiceException',
    'Lambda.AWSLambdaException',
    'Lambda.SdkClientException',
    'Lambda.TooManyRequestsException',
  ],
  IntervalSeconds: 2,
  MaxAttempts: 4,
  BackoffRate: 2,
};
/** A job that failed is States.TaskFailed and is not tried again here: Batch has already made all its attempts. */
const BATCH_RETRY = {
  ErrorEquals: ['Batch.AWSBatchException', 'Batch.ServerException', 'Batch.TooManyRequestsException'],
  IntervalSeconds: 10,
  MaxAttempts: 5,
  BackoffRate: 2,
};
const SERVICE_RETRY = {
  ErrorEquals: [
    'DynamoDB.InternalServerError',
    'DynamoDB.ProvisionedThroughputExceededException',
    'DynamoDB.RequestLimitExceeded',
    'DynamoDB.ThrottlingException',
    'DynamoDB.SdkClientException',
    'SNS.InternalErrorException',
    'SNS.ThrottledException',
    'SNS.SdkClientException',
    'Sfn.SdkClientException',
  ],
  IntervalSeconds: 2,
  MaxAttempts: 4,
  BackoffRate: 2,
};
/** Whatever goes wrong after the lock was asked for. Unlocking afterwards is safe: nobody can release another's lock. */
const ON_ERROR = [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'NotifyFailure' }];

export function pipelineDefinition(parts: PipelineParts) {
  return {
    Comment: 'Trains a recipe as far as something is missing, and publishes the model if the gate lets it through',
    StartAt: 'AcquireLock',
    States: { ...lock(parts), ...work(parts), ...close(parts) } satisfies Record<string, State>,
  };
}

/**
 * One execution a recipe. The lock names its execution, and whether that still runs is asked of Step Functions: an
 * expiry would have to outlast the longest training, and would block a recipe for as long after an aborted execution.
 */
function lock({ table }: PipelineParts): Record<string, State> {
  const take = (condition: string, values: Record<string, unknown>) => ({
    Type: 'Task',
    Resource: 'arn:aws:states:::dynamodb:putItem',
    Parameters: {
      TableName: table,
      Item: {
        ...LOCK_KEY,
        held_by: { 'S.$': '$$.Execution.Id' },
        acquired_at: { 'S.$': '$$.State.EnteredTime' },
      },
      ConditionExpression: condition,
      ExpressionAttributeValues: values,
    },
    ResultPath: null,
    Retry: [SERVICE_RETRY],
  });
  const refused = (Next: string) => ({
    ErrorEquals: ['DynamoDB.ConditionalCheckFailedException'],
    ResultPath: '$.refused',
    Next,
  });
  return {
    AcquireLock: {
      // A retry after an answer that got lost finds its own lock, and that is as good as an absent one.
      ...take('attribute_not_exists(pk) OR held_by = :me', { ':me': { 'S.$': '$$.Execution.Id' } }),
      Catch: [refused('ReadLock'), ...ON_ERROR],
      Next: 'Plan',
    },
    ReadLock: {
      Type: 'Task',
      Resource: 'arn:aws:states:::dynamodb:getItem',
      Parameters: { TableName: table, Key: LOCK_KEY, ConsistentRead: true },
      ResultPath: '$.lock',
      Retry: [SERVICE_RETRY],
      Catch: ON_ERROR,
      Next: 'IsLocked',
    },
    IsLocked: {
      Type: 'Choice',
      Choices: [{ Variable: '$.lock.Item', IsPresent: true, Next: 'DescribeHolder' }],
      // It was released between the two looks.
      Default: 'AcquireLock',
    },
    DescribeHolder: {
      Type: 'Task',
      Resource: 'arn:aws:states:::aws-sdk:sfn:describeExecution',
      Parameters: { 'ExecutionArn.$': '$.lock.Item.held_by.S' },
      ResultSelector: { 'status.$': '$.Status' },
      ResultPath: '$.holder',
      Retry: [SERVICE_RETRY],
      Catch: ON_ERROR,
      Next: 'IsHolderRunning',
    },
    IsHolderRunning: {
      Type: 'Choice',
      Choices: [
        {
          Or: ['RUNNING', 'PENDING_REDRIVE'].map((StringEquals) => ({ Variable: '$.holder.status', StringEquals })),
          Next: 'Busy',
        },
      ],
      Default: 'TakeOverLock',
    },
    TakeOverLock: {
      // Of several executions that find the lock abandoned, one gets it.
      ...take('held_by = :gone', { ':gone': { 'S.$': '$.lock.Item.held_by.S' } }),
      Catch: [refused('Busy'), ...ON_ERROR],
      Next: 'Plan',
    },
    Busy: {
      Type: 'Fail',
      Error: 'RecipeBusy',
      Cause: 'Another execution of this recipe is running. It goes on; this one did nothing and changed nothing.',
    },
  };
}

function work({ table, topic, plan, gate, publish }: PipelineParts): Record<string, State> {
  const call = (Resource: string, Parameters: Record<string, string>, ResultPath: string, Next: string) => ({
    Type: 'Task',
    Resource,
    Parameters,
    ResultPath,
    TimeoutSeconds: 900,
    Retry: [LAMBDA_RETRY],
    Catch: ON_ERROR,
    Next,
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
    // Where nothing is missing the map has nothing to do, and the gate is asked all the same: what was trained by hand, or
    // before a publication that failed, has not been decided on yet.
    Plan: call(plan, { 'recipe.$': '$.recipe' }, '$.plan', 'RunStages'),
    RunStages: {
      Type: 'Map',
      ItemsPath: '$.plan.stages',
      // Each stage reads what the one before it wrote.
      MaxConcurrency: 1,
      ItemProcessor: {
        ProcessorConfig: { Mode: 'INLINE' },
        StartAt: 'RunStage',
        States: {
          RunStage: {
            Type: 'Task',
            Resource: 'arn:aws:states:::batch:submitJob.sync',
            Parameters: {
              'JobName.$': '$.job_name',
              'JobQueue.$': '$.job_queue',
              'JobDefinition.$': '$.job_definition',
              Parameters: { 'job.$': '$.job' },
              'Tags.$': '$.tags',
            },
            Retry: [BATCH_RETRY],
            End: true,
          },
        },
      },
      ResultPath: null,
      Catch: ON_ERROR,
      Next: 'Gate',
    },
    Gate: call(gate, { 'plan.$': '$.plan' }, '$.decision', 'IsGoodEnough'),
    IsGoodEnough: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.decision.decision', StringEquals: 'publish', Next: 'Publish' },
        // It is current already, or was rejected and reported when it was trained.
        { Variable: '$.plan.to_run', NumericEquals: 0, Next: 'ReleaseLock' },
      ],
      Default: 'RecordRejection',
    },
    Publish: call(publish, { 'plan.$': '$.plan', 'decision.$': '$.decision' }, '$.published', 'RecordRun'),
    RecordRun: record({ manifest: { 'S.$': '$.published.manifest' } }),
    RecordRejection: record({}),
    Notify: {
      ...notify(topic, { 'decision.$': '$.decision.decision', 'reasons.$': '$.decision.reasons' }),
      Catch: ON_ERROR,
    },
  };
}

/** Says how it went, and lets go of the lock on every way out. */
function close({ table, topic }: PipelineParts): Record<string, State> {
  return {
    NotifyFailure: {
      ...notify(topic, { 'error.$': '$.error' }),
      // Being unable to tell is no reason to keep the lock.
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.silent', Next: 'ReleaseLock' }],
    },
    ReleaseLock: {
      Type: 'Task',
      Resource: 'arn:aws:states:::dynamodb:deleteItem',
      Parameters: {
        TableName: table,
        Key: LOCK_KEY,
        ConditionExpression: 'held_by = :me',
        ExpressionAttributeValues: { ':me': { 'S.$': '$$.Execution.Id' } },
      },
      ResultPath: null,
      Retry: [SERVICE_RETRY],
      // Refused: it was another's. Anything else: the next execution finds this one ended and takes the lock over.
      Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.unreleased', Next: 'HowItWent' }],
      Next: 'HowItWent',
    },
    HowItWent: {
      Type: 'Choice',
      Choices: [
        { Variable: '$.error', IsPresent: true, Next: 'Failed' },
        { Variable: '$.decision.decision', StringEquals: 'publish', Next: 'Done' },
        { Variable: '$.plan.to_run', NumericEquals: 0, Next: 'NothingToRun' },
      ],
      Default: 'Rejected',
    },
    Done: { Type: 'Succeed' },
    NothingToRun: { Type: 'Succeed' },
    // A worse candidate is no failure of the pipeline: the model in use stays.
    Rejected: { Type: 'Succeed' },
    Failed: { Type: 'Fail', ErrorPath: '$.error.Error', CausePath: '$.error.Cause' },
  };
}

const RECIPE_KEY = { 'S.$': "States.Format('recipe#{}', $.recipe)" };
const LOCK_KEY = { pk: RECIPE_KEY, sk: { S: 'lock' } };

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
