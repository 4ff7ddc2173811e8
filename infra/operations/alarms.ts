// The alarms, one row each: what is watched, from when on it is too much, and what it says to the person who is told.
import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import type * as lambda from 'aws-cdk-lib/aws-lambda';
import type * as sqs from 'aws-cdk-lib/aws-sqs';
import type * as sfn from 'aws-cdk-lib/aws-stepfunctions';
import type { Settings } from '../base/settings.ts';

export interface Watched {
  settings: Settings;
  stateMachine: sfn.StateMachine;
  deadLetters: sqs.Queue;
  encoders: WatchedEncoder[];
  /** Shards of bulk jobs that failed for good. */
  failedShards: sqs.Queue;
  /** The function that stops what costs money. */
  stop: lambda.Function;
}

export interface WatchedEncoder {
  /** In the names of its alarms. */
  name: 'Encoder' | 'EncoderGpu';
  /** In sentences. */
  called: string;
  function: lambda.Function;
  /** What becomes of calls that it does not take. */
  instead: string;
}

export interface AlarmRow {
  /** Last part of the alarm's name, and heading of its part of the runbook in infra/README.md. */
  name: string;
  says: string;
  metric: cloudwatch.IMetric;
  /** Exceeded: too much. */
  above: number;
  /** Periods in a row. */
  periods: number;
}

const FIVE_MINUTES = { period: Duration.minutes(5) };
const SUM = { ...FIVE_MINUTES, statistic: 'Sum' };

export function alarmRows(watched: Watched): AlarmRow[] {
  const { stateMachine, deadLetters, encoders, failedShards, stop } = watched;
  return [
    {
      name: 'ExecutionFailed',
      says: 'A training failed: what it published before stays in use.',
      metric: stateMachine.metricFailed(SUM),
      above: 0,
      periods: 1,
    },
    {
      name: 'ExecutionTimedOut',
      says: 'A training ran into its last limit of time, without a report and with its lock.',
      metric: stateMachine.metricTimedOut(SUM),
      above: 0,
      periods: 1,
    },
    {
      name: 'ScheduleUndelivered',
      says: 'A schedule, or data that came in, could not start a training; what was to be started is in the dead-letter queue.',
      metric: deadLetters.metricApproximateNumberOfMessagesVisible({ ...FIVE_MINUTES, statistic: 'Maximum' }),
      above: 0,
      periods: 1,
    },
    ...encoders.flatMap(encoderRows),
    {
      name: 'ShardFailed',
      says: 'Shards of a bulk job failed in all of their attempts; the queue of failed shards says of which job.',
      metric: failedShards.metricApproximateNumberOfMessagesVisible({ ...FIVE_MINUTES, statistic: 'Maximum' }),
      above: 0,
      periods: 1,
    },
    {
      name: 'SwitchFailed',
      says: 'The switch that stops what costs money could not stop all of it.',
      metric: stop.metricErrors(SUM),
      above: 0,
      periods: 1,
    },
  ];
}

function encoderRows({ name, called, function: encoder, instead }: WatchedEncoder): AlarmRow[] {
  return [
    {
      name: `${name}Fails`,
      says: `More than one in twenty calls to ${called} fails: ${instead}.`,
      metric: failedShare(encoder),
      above: 5,
      periods: 3,
    },
    {
      name: `${name}Refuses`,
      says: `${capital(called)} has no calls left: ${instead}.`,
      metric: encoder.metricThrottles(SUM),
      above: 10,
      periods: 3,
    },
    {
      name: `${name}Slow`,
      says: `One call in a hundred to ${called} takes more than 15 s, half of what the Worker waits.`,
      metric: encoder.metricDuration({ ...FIVE_MINUTES, statistic: 'p99' }),
      above: 15_000,
      periods: 3,
    },
  ];
}

const capital = (sentence: string): string => sentence.charAt(0).toUpperCase() + sentence.slice(1);

/** Of a function's calls, in per cent. */
function failedShare(encoder: lambda.Function): cloudwatch.MathExpression {
  return new cloudwatch.MathExpression({
    // A single failed call at night would be a large share of few calls.
    expression: 'IF(calls >= 20, 100 * errors / calls, 0)',
    label: 'failed calls, percent',
    usingMetrics: { errors: encoder.metricErrors(SUM), calls: encoder.metricInvocations(SUM) },
    ...FIVE_MINUTES,
  });
}
