// What the ECS agent of a training machine may do: AWS's managed policy for it, less images, logs and new clusters.
import { ArnFormat, Stack } from 'aws-cdk-lib';
import type * as iam from 'aws-cdk-lib/aws-iam';
import { allow } from '../../rules/allow.ts';

/** Batch names the cluster when it makes it, so no policy can name it before. */
export function instancePermissions(role: iam.Role): void {
  const arn = (resource: string) =>
    Stack.of(role).formatArn({ service: 'ecs', resource, resourceName: '*', arnFormat: ArnFormat.SLASH_RESOURCE_NAME });
  allow(role, ['ecs:DiscoverPollEndpoint'], ['*']);
  allow(
    role,
    [
      'ecs:RegisterContainerInstance',
      'ecs:DeregisterContainerInstance',
      'ecs:SubmitContainerStateChange',
      'ecs:SubmitTaskStateChange',
      'ecs:SubmitAttachmentStateChanges',
    ],
    [arn('cluster')],
  );
  allow(
    role,
    ['ecs:Poll', 'ecs:StartTelemetrySession', 'ecs:UpdateContainerInstancesState', 'ecs:ListTagsForResource'],
    [arn('container-instance')],
  );
  allow(role, ['ecs:TagResource'], [arn('container-instance')], {
    StringEquals: { 'ecs:CreateAction': 'RegisterContainerInstance' },
  });
}
