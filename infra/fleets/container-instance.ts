// Permissions of a training machine's ECS agent: AWS's managed policy for it, without images, logs and new clusters.
import { ArnFormat, Stack } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import { grantActions } from '../base/grants.ts';

/** Batch names the cluster when it makes it, so no policy can name it before. */
export function grantContainerInstance(role: iam.Role): void {
  const arn = (resource: string) =>
    Stack.of(role).formatArn({ service: 'ecs', resource, resourceName: '*', arnFormat: ArnFormat.SLASH_RESOURCE_NAME });
  grantActions(role, { actions: ['ecs:DiscoverPollEndpoint'], resources: ['*'] });
  grantActions(role, {
    actions: [
      'ecs:RegisterContainerInstance',
      'ecs:DeregisterContainerInstance',
      'ecs:SubmitContainerStateChange',
      'ecs:SubmitTaskStateChange',
      'ecs:SubmitAttachmentStateChanges',
    ],
    resources: [arn('cluster')],
  });
  grantActions(role, {
    actions: ['ecs:Poll', 'ecs:StartTelemetrySession', 'ecs:UpdateContainerInstancesState', 'ecs:ListTagsForResource'],
    resources: [arn('container-instance')],
  });
  grantActions(role, {
    actions: ['ecs:TagResource'],
    resources: [arn('container-instance')],
    conditions: { StringEquals: { 'ecs:CreateAction': 'RegisterContainerInstance' } },
  });
}
