// What an hour of a job class costs: a dated table of list prices. Pure.
import { JOB_CLASSES, type JobClass } from '../../../contracts/src/job-classes.ts';

/** AWS list prices on demand, Linux, US dollars an hour, as published on that day in that region; check them before a large run. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** The dearest machine of the size that one job fills: what an estimate goes by. */
  filled: { embed: { type: 'g6e.xlarge', usd: 1.861 }, train: { type: 'g6e.2xlarge', usd: 2.24208 } },
  /** The dearest one that the fleet may take where no other is to be had: what a limit goes by. */
  dearest: { type: 'g6e.4xlarge', usd: 3.00424 },
  fargate: { usd_per_vcpu: 0.04048, usd_per_gib: 0.004445 },
} as const;

/** US dollars an hour on demand. Spot is tried first and costs less, by how much nobody knows beforehand. */
export function hourlyUsd(jobClass: JobClass): { expected: number; most: number } {
  if (jobClass !== 'cpu') return { expected: PRICE_TABLE.filled[jobClass].usd, most: PRICE_TABLE.dearest.usd };
  const { vcpus, memory_mib } = JOB_CLASSES.cpu;
  const { usd_per_vcpu, usd_per_gib } = PRICE_TABLE.fargate;
  const usd = vcpus * usd_per_vcpu + (memory_mib / 1024) * usd_per_gib;
  return { expected: usd, most: usd };
}

export interface StageCost {
  /** Null where there is no earlier run on such a device to go by. */
  estimated_usd: number | null;
  /** One attempt up to the time limit: a job never costs more than `attempts` times this. */
  limit_usd: number;
}

export function stageCost(jobClass: JobClass, estimatedSeconds: number | null): StageCost {
  const { expected, most } = hourlyUsd(jobClass);
  return {
    estimated_usd: estimatedSeconds === null ? null : (expected * estimatedSeconds) / 3600,
    limit_usd: most * JOB_CLASSES[jobClass].timeout_hours,
  };
}
