// Retention: how long logs are kept, and whether a resource outlives its stack. Both are settings of the environment.
import { RemovalPolicy } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';
import type { Settings } from './settings.ts';

type Retention = Pick<Settings, 'retain' | 'log_days'>;

export function removalPolicyOf({ retain }: Pick<Retention, 'retain'>): RemovalPolicy {
  return retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;
}

/** Every log group is made here: the library's own are kept permanently. */
export function createLogGroup(scope: Construct, id: string, settings: Retention): logs.LogGroup {
  return new logs.LogGroup(scope, id, {
    retention: settings.log_days,
    removalPolicy: removalPolicyOf(settings),
  });
}
