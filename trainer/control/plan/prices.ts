// Prices an hour of a job class, from the table of list prices. Pure.
import { fargateHourlyUsd, PRICE_TABLE } from '../../../contracts/src/cloud/prices.ts';
import { JOB_CLASSES, type JobClass, type JobResources } from '../../../contracts/src/job-classes.ts';

/** US dollars per hour on demand. Spot is tried first and costs less; how much less is not known in advance. */
export function hourlyUsd(jobClass: JobClass): { expected: number; most: number } {
  const resources: JobResources = JOB_CLASSES[jobClass];
  if (resources.queue === 'cpu') {
    const usd = fargateHourlyUsd(resources, 'x86_64');
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
