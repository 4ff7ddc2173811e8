// One page of what happens: trainings, the image encoder, and every alarm.
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import type { Watched } from './alarms.ts';

const HOUR = { period: Duration.hours(1), statistic: 'Sum' };
const HALF = { width: 12, height: 6 };

export function addDashboard(scope: Construct, { stateMachine, encoders }: Watched, alarms: cloudwatch.Alarm[]): void {
  new cloudwatch.Dashboard(scope, 'Dashboard', {
    defaultInterval: Duration.days(7),
    widgets: [
      [new cloudwatch.AlarmStatusWidget({ title: 'Alarms', alarms, width: 24, height: 3 })],
      [
        new cloudwatch.GraphWidget({
          title: 'Trainings',
          ...HALF,
          left: [
            stateMachine.metricStarted(HOUR),
            stateMachine.metricSucceeded(HOUR),
            stateMachine.metricFailed(HOUR),
            stateMachine.metricAborted(HOUR),
          ],
        }),
        new cloudwatch.GraphWidget({
          title: 'Hours of a training',
          ...HALF,
          left: [
            new cloudwatch.MathExpression({
              expression: 'ms / 3600000',
              label: 'longest',
              usingMetrics: { ms: stateMachine.metricTime({ ...HOUR, statistic: 'Maximum' }) },
              period: HOUR.period,
            }),
          ],
        }),
      ],
      ...encoders.map(({ called, function: encoder }) => [
        new cloudwatch.GraphWidget({
          title: `Calls to ${called}`,
          ...HALF,
          left: [encoder.metricInvocations(), encoder.metricErrors(), encoder.metricThrottles()],
        }),
        new cloudwatch.GraphWidget({
          title: `Milliseconds of a call to ${called}`,
          ...HALF,
          left: ['p50', 'p99'].map((statistic) => encoder.metricDuration({ statistic })),
          right: [encoder.metric('ConcurrentExecutions', { statistic: 'Maximum' })],
        }),
      ]),
    ],
  });
}
