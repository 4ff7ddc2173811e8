// Retention: how long logs are kept, and whether a resource outlives its stack. Both are settings of the environment.
import { Aws, Fn, RemovalPolicy } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

type Retention = Pick<Settings, 'retain' | 'log_days'>;

export function removalPolicyOf({ retain }: Pick<Retention, 'retain'>): RemovalPolicy {
  return retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
}

/** Every log group is made here: the library's own are kept permanently. `logGroupName`: only where a service asks for one. */
export function createLogGroup(
  scope: Construct,
  id: string,
  { logGroupName, ...settings }: Retention & { logGroupName?: string },
): logs.LogGroup {
  return new logs.LogGroup(scope, id, {
    logGroupName,
    retention: settings.log_days,
    removalPolicy: removalPolicyOf(settings),
  });
}

/**
 * A name for the log of a state machine. Groups outside of this prefix are added to one policy of the account one by one, which is
 * full after some dozens. With the stack's own id in it a kept group is not in the way when the stack is made again.
 */
export const statesLogName = (): string =>
  `/aws/vendedlogs/states/${Aws.STACK_NAME}-${Fn.select(2, Fn.split('/', Aws.STACK_ID))}`;
