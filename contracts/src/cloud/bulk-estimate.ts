// What embedding in bulk takes: hours of a machine and dollars, from what there is to embed and how fast a machine does it. Pure.
import { BULK_LIMITS, type BulkEstimate } from '../bulk/job.ts';
import type { Tier } from '../model/tier.ts';
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
  /** Each time that it is started it is charged for so long at least. */
  leastSeconds: number;
  /** Work that it is given each time that it is started, about; null: it is started once, for all of it. */
  shareSeconds: number | null;
  /** Null: it is somebody's own. */
  usdPerHour: number | null;
}

/** What a shard of a bulk job gets on AWS: the image tower is small, so that a shard is decoding as much as anything, which takes processors and little memory. */
export const SHARD = { vcpus: 4, memory_mib: 8_192 } as const;

/**
 * Fargate charges for a minute at least, from when it begins to pull the image, and a shard takes some seconds: a child of an array job
 * does as many of them as fill a quarter of an hour. What a reclaimed machine loses is still one shard.
 */
export const SHARD_MACHINE: BulkMachine = {
  cores: SHARD.vcpus,
  leastSeconds: 60,
  shareSeconds: 15 * 60,
  usdPerHour: fargateHourlyUsd(SHARD, 'arm64'),
};

/** A machine of somebody's own, which costs nothing more. */
export const ownMachine = (cores: number): BulkMachine => ({
  cores,
  leastSeconds: 0,
  shareSeconds: null,
  usdPerHour: null,
});

export interface BulkShards {
  shards: number;
  /** Of the model that reads the texts. */
  tier: Tier;
  machine: BulkMachine;
}

/**
 * Machines that are started for a job, each for an equal part of its shards: children of an array job. `work`: null where tars or videos
 * are not opened; a shard is then taken for as full as a tar may be.
 */
export function machinesFor(work: BulkWork | null, { shards, tier, machine }: BulkShards): number {
  if (machine.shareSeconds === null) return 1;
  const seconds = secondsOf(work ?? { images: shards * BULK_LIMITS.tar_items, tokens: 0 }, tier, machine);
  return Math.max(1, Math.min(shards, Math.ceil(seconds / machine.shareSeconds)));
}

/** Hours of machines and what is charged for them, by list prices. */
export function estimateBulk(work: BulkWork, { shards, tier, machine }: BulkShards): BulkEstimate {
  const charged = machinesFor(work, { shards, tier, machine }) * machine.leastSeconds;
  const hours = Math.max(secondsOf(work, tier, machine), charged) / 3600;
  const { images, tokens } = work;
  return { images, tokens, hours, usd: machine.usdPerHour === null ? null : hours * machine.usdPerHour };
}

function secondsOf({ images, tokens }: BulkWork, tier: Tier, { cores }: BulkMachine): number {
  return (images * CORE_SECONDS.image + tokens * CORE_SECONDS.tokens[tier]) / cores;
}
