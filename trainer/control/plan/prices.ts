// Prices an hour of a job class: a dated table of list prices. Pure.
import { JOB_CLASSES, type JobClass, type JobResources } from '../../../contracts/src/job-classes.ts';

/** AWS list prices on demand, Linux, US dollars per hour, as published by that day in that region; check them before a large run. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** Machines by queue, in the order of their size; of several kinds of one size the most expensive one. */
  gpu: [
    { type: 'g6e.xlarge', vcpus: 4, gpus: 1, usd: 1.861 },
    { type: 'g6e.2xlarge', vcpus: 8, gpus: 1, usd: 2.24208 },
    { type: 'g6e.4xlarge', vcpus: 16, gpus: 1, usd: 3.00424 },
  ],
  gpus: [
    { type: 'g6e.12xlarge', vcpus: 48, gpus: 4, usd: 10.49264 },
    { type: 'g6e.48xlarge', vcpus: 192, gpus: 8, usd: 30.13118 },
  ],
  h100: [
    { type: 'p5.4xlarge', vcpus: 16, gpus: 1, usd: 6.88 },
    { type: 'p5.48xlarge', vcpus: 192, gpus: 8, usd: 55.04 },
  ],
  nodes: [{ type: 'p5.48xlarge', vcpus: 192, gpus: 8, usd: 55.04 }],
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
  const machines = PRICE_TABLE[resources.queue].filter(
    ({ vcpus, gpus }) => vcpus >= resources.vcpus && gpus >= resources.gpus,
  );
  const [filled] = machines;
  if (filled === undefined) throw new Error(`the table of prices has no machine for a job of class ${jobClass}`);
  const { nodes } = resources;
  return { expected: nodes * filled.usd, most: nodes * Math.max(...machines.map(({ usd }) => usd)) };
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
