// Prices an hour of a job class: a dated table of list prices. Pure.
import { JOB_CLASSES, type JobClass, type JobResources } from '../../../contracts/src/job-classes.ts';

/** AWS list prices on demand, Linux, US dollars per hour, as published on that day in that region; check them before a large run. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** Machines of the GPU fleet, the most expensive one of each size, in the order of their size. */
  gpu: [
    { type: 'g6e.xlarge', vcpus: 4, gpus: 1, usd: 1.861 },
    { type: 'g6e.2xlarge', vcpus: 8, gpus: 1, usd: 2.24208 },
    { type: 'g6e.4xlarge', vcpus: 16, gpus: 1, usd: 3.00424 },
  ],
  fargate: { usd_per_vcpu: 0.04048, usd_per_gib: 0.004445 },
} as const;

/** US dollars per hour on demand. Spot is tried first and costs less; how much less is not known in advance. */
export function hourlyUsd(jobClass: JobClass): { expected: number; most: number } {
  const resources: JobResources = JOB_CLASSES[jobClass];
  if (resources.queue === 'cpu') {
    const { usd_per_vcpu, usd_per_gib } = PRICE_TABLE.fargate;
    const usd = resources.vcpus * usd_per_vcpu + (resources.memory_mib / 1024) * usd_per_gib;
    return { expected: usd, most: usd };
  }
  // The job fills the smallest machine that it fits; when none is available the fleet may take a larger one.
  const machines = PRICE_TABLE.gpu.filter(({ vcpus, gpus }) => vcpus >= resources.vcpus && gpus >= resources.gpus);
  const [filled] = machines;
  if (filled === undefined) throw new Error(`the table of prices has no machine for a job of class ${jobClass}`);
  return { expected: filled.usd, most: Math.max(...machines.map(({ usd }) => usd)) };
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
