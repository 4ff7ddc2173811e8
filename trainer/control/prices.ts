// What an hour of a stage class costs: a dated table of list prices. Pure.
import { STAGE_CLASSES, type StageClass } from '../../contracts/src/stage-class.ts';

/** AWS list prices on demand, Linux, US dollars an hour, as published on that day in that region; check them before a large run. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** The dearest machine type that the fleet may give a job of the class: an estimate on the safe side. */
  instances: { embed: { type: 'g6e.xlarge', usd: 1.861 }, train: { type: 'g6e.2xlarge', usd: 2.24208 } },
  fargate: { usd_per_vcpu: 0.04048, usd_per_gib: 0.004445 },
} as const;

/** US dollars an hour on demand. Spot is tried first and costs less, by how much nobody knows beforehand. */
export function hourlyUsd(stageClass: StageClass): number {
  if (stageClass !== 'cpu') return PRICE_TABLE.instances[stageClass].usd;
  const { vcpus, memory_mib } = STAGE_CLASSES.cpu;
  const { usd_per_vcpu, usd_per_gib } = PRICE_TABLE.fargate;
  return vcpus * usd_per_vcpu + (memory_mib / 1024) * usd_per_gib;
}

export interface StageCost {
  /** Null where there is no earlier run on such a device to go by. */
  estimated_usd: number | null;
  /** One attempt up to the time limit: a job never costs more than `attempts` times this. */
  limit_usd: number;
}

export function stageCost(stageClass: StageClass, estimatedSeconds: number | null): StageCost {
  const usd = hourlyUsd(stageClass);
  return {
    estimated_usd: estimatedSeconds === null ? null : (usd * estimatedSeconds) / 3600,
    limit_usd: usd * STAGE_CLASSES[stageClass].timeout_hours,
  };
}
