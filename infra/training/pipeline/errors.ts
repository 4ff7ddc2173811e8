// Failures of the pipeline's states: which are tried again, and where all others lead.

/** Failures of the services themselves, not of what they were asked. */
export const LAMBDA_RETRY = {
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
export const BATCH_RETRY = {
  ErrorEquals: ['Batch.AWSBatchException', 'Batch.ServerException', 'Batch.TooManyRequestsException'],
  IntervalSeconds: 10,
  MaxAttempts: 5,
  BackoffRate: 2,
};
export const SERVICE_RETRY = {
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
/** Whatever goes wrong after the lock was asked for. Unlocking afterwards is safe: an execution can release its own lock only. */
export const ON_ERROR = [{ ErrorEquals: ['States.ALL'], ResultPath: '$.error', Next: 'NotifyFailure' }];
