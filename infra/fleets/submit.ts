// Permission to submit jobs of certain definitions to certain queues, to ask what became of them and to end them.
import { ArnFormat, Fn, Stack } from 'aws-cdk-lib';
import type * as batch from 'aws-cdk-lib/aws-batch';
import type * as iam from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { grantActions } from '../base/grants.ts';

export interface Submission {
  queues: readonly batch.JobQueue[];
  definitions: readonly batch.IJobDefinition[];
}

/**
 * Jobs of these definitions, of any revision: a deployment makes a new revision while whoever submits still names the one before, and
 * must not fail for that. `scope`: of the stack that holds the definitions.
 */
export function grantSubmit(scope: Construct, grantee: iam.IGrantable, { queues, definitions }: Submission): void {
  const families = definitions.flatMap((definition) => {
    const family = Fn.select(1, Fn.split('/', Fn.select(5, Fn.split(':', definition.jobDefinitionArn))));
    return [family, `${family}:*`].map((resourceName) => arn(scope, 'job-definition', resourceName));
  });
  const queueArns = queues.map((queue) => queue.jobQueueArn);
  const anyJob = arn(scope, 'job', '*');
  grantActions(grantee, { actions: ['batch:SubmitJob'], resources: [...queueArns, ...families] });
  // Tags of a job are authorised as a second action, on the definition and on the job that comes into being.
  grantActions(grantee, { actions: ['batch:TagResource'], resources: [...queueArns, ...families, anyJob] });
  // Without it what is cancelled would leave its job running, and billed.
  grantActions(grantee, { actions: ['batch:TerminateJob'], resources: [anyJob] });
  grantActions(grantee, { actions: ['batch:DescribeJobs'], resources: ['*'] });
}

function arn(scope: Construct, resource: string, resourceName: string): string {
  const arnFormat = ArnFormat.SLASH_RESOURCE_NAME;
  return Stack.of(scope).formatArn({ service: 'batch', resource, resourceName, arnFormat });
}
