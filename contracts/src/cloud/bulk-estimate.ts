// What embedding in bulk takes: hours of a machine and dollars, from what there is to embed and how fast a machine does it. Pure.
import type { BulkEstimate } from '../bulk/job.ts';
import type { Tier } from '../model/manifest.ts';
import { fargateHourlyUsd } from './prices.ts';
import { CORE_SECONDS } from './rates.ts';

/** What there is to embed. */
export interface BulkWork {
  images: number;
  /** Of all texts, as far as they are read. */
  tokens: number;
}

export interface BulkMachine {
  /** Processor cores that encode. */
  cores: number;
  /** A shard is charged for so long at least. */
  leastSeconds: number;
  /** Null: it is somebody's own. */
  usdPerHour: number | null;
}

/** What a shard of a bulk job gets on AWS: the image tower is small, so that a shard is decoding as much as anything, which takes processors and little memory. */
export const SHARD = { vcpus: 4, memory_mib: 8_192 } as const;

/** Fargate charges for a minute at least, from when it begins to pull the image: shards of a few seconds cost what their minute costs. */
export const SHARD_MACHINE: BulkMachine = {
  cores: SHARD.vcpus,
  leastSeconds: 60,
  usdPerHour: fargateHourlyUsd(SHARD, 'arm64'),
};

/** A machine of somebody's own, which costs nothing more. */
export const ownMachine = (cores: number): BulkMachine => ({ cores, leastSeconds: 0, usdPerHour: null });

/** Hours of one machine that does all shards one after the other; several machines share them. */
export function estimateBulk(
  { images, tokens }: BulkWork,
  { shards, tier, machine }: { shards: number; tier: Tier; machine: BulkMachine },
): BulkEstimate {
  const coreSeconds = images * CORE_SECONDS.image + tokens * CORE_SECONDS.tokens[tier];
  const seconds = Math.max(coreSeconds / machine.cores, shards * machine.leastSeconds);
  const hours = seconds / 3600;
  return { images, tokens, hours, usd: machine.usdPerHour === null ? null : hours * machine.usdPerHour };
}
