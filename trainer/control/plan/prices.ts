// Prices an hour of a job class: a dated table of list prices. Pure.
import { JOB_CLASSES, type JobClass } from '../../../contracts/src/job-classes.ts';

/** AWS list prices on demand, Linux, US dollars per hour, as published on that day in that region; check them before a large run. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** The most expensive machine of the size that one job fills: estimates use it. */
  filled: { embed: { type: 'g6e.xlarge', usd: 1.861 }, train: { type: 'g6e.2xlarge', usd: 2.24208 } },
  /** The most expensive machine that the fleet may take when no other is available: limits use it. */
  largest: { type: 'g6e.4xlarge', usd: 3.00424 },
  fargate: { usd_per_vcpu: 0.04048, usd_per_gib: 0.004445 },
} as const;

/** US dollars per hour on demand. Spot is tried first and costs less, how much less is not known in advance. */
export function hourlyUsd(jobClass: JobClass): { expected: number; most: number } {
  if (jobClass !== 'cpu') return { expected: PRICE_TABLE.filled[jobClass].usd, most: PRICE_TABLE.largest.usd };
  const { vcpus, memory_mib } = JOB_CLASSES.cpu;
  const { usd_per_vcpu, usd_per_gib } = PRICE_TABLE.fargate;
  const usd = vcpus * usd_per_vcpu + (memory_mib / 1024) * usd_per_gib;
  return { expected: usd, most: usd };
}

export interface StageCost {
  /** Undefined where no earlier run on a comparable device gives an estimate. */
  estimatedUsd: number | undefined;
  /** One attempt up to the time limit: a job never costs more than `attempts` times this. */
  limitUsd: number;
}

export function stageCost(jobClass: JobClass, estimatedSeconds: number | undefined): StageCost {
  const { expected, most } = hourlyUsd(jobClass);
  return {
    estimatedUsd: estimatedSeconds === undefined ? undefined : (expected * estimatedSeconds) / 3600,
    limitUsd: most * JOB_CLASSES[jobClass].timeout_hours,
  };
}
