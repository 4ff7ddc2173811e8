// States that hold a recipe's lock: acquire it, take it over from an execution that has ended, release it.
import { ON_ERROR, SERVICE_RETRY } from './errors.ts';

export type State = Record<string, unknown> & { Type: string };

export const RECIPE_KEY = { 'S.$': "States.Format('recipe#{}', $.recipe)" };
/** Between two looks at who holds the lock. */
const WAIT_SECONDS = 900;
const LOCK_KEY = { pk: RECIPE_KEY, sk: { S: 'lock' } };

/**
 * One execution per recipe. The lock names its execution, and Step Functions says whether that still runs. An expiry
 * would have to outlast the longest training, and would block a recipe for that long after an aborted execution.
 */
export function lock(table: string, next: string): Record<string, State> {
  // A retry whose first answer got lost finds its own lock, which it may take as well.
  const take = (condition: string, values: Record<string, unknown> = {}) => ({
    Type: 'Task',
    Resource: 'arn:aws:states:::dynamodb:putItem',
    Parameters: {
      TableName: table,
      Item: {
        ...LOCK_KEY,
        held_by: { 'S.$': '$$.Execution.Id' },
        acquired_at: { 'S.$': '$$.State.EnteredTime' },
      },
      ConditionExpression: `${condition} OR held_by = :me`,
      ExpressionAttributeValues: { ':me': { 'S.$': '$$.Execution.Id' }, ...values },
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
      ...take('attribute_not_exists(pk)'),
      Catch: [refused('ReadLock'), ...ON_ERROR],
      Next: next,
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
      // It was released between the two reads.
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
          Next: 'IsWorthWaiting',
        },
      ],
      Default: 'TakeOverLock',
    },
    IsWorthWaiting: {
      Type: 'Choice',
      // The running execution has planned without this data. A schedule comes again by itself.
      Choices: [{ Variable: '$.pointer', IsPresent: true, Next: 'WaitForHolder' }],
      Default: 'Busy',
    },
    WaitForHolder: { Type: 'Wait', Seconds: WAIT_SECONDS, Next: 'ReadLock' },
    TakeOverLock: {
      // Of several executions that find the lock abandoned, one gets it.
      ...take('held_by = :gone', { ':gone': { 'S.$': '$.lock.Item.held_by.S' } }),
      Catch: [refused('IsWorthWaiting'), ...ON_ERROR],
      Next: next,
    },
    Busy: {
      Type: 'Fail',
      Error: 'RecipeBusy',
      Cause: 'Another execution of this recipe is running. It goes on; this one did nothing and changed nothing.',
    },
  };
}

/** Deletes the lock of this execution, never that of another. */
export function releaseLock(table: string, next: string): State {
  return {
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
    // Refused: it belongs to another execution. Anything else: the next execution finds this one ended and takes the lock over.
    Catch: [{ ErrorEquals: ['States.ALL'], ResultPath: '$.unreleased', Next: next }],
    Next: next,
  };
}
