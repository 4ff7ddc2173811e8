// Estimates embedding in bulk: hours of a machine and dollars, from what there is to embed and how fast a machine does it. Pure.
import { BULK_LIMITS, type BulkEstimate, type BulkMachineKind } from '../bulk/job.ts';
import { VIDEO_LIMITS, type VideoSampling } from '../bulk/video.ts';
import type { Tier } from '../model/tier.ts';
import { fargateHourlyUsd, PRICE_TABLE } from './prices.ts';
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
  /** Seconds of one core for an image: to its vector, or as far as a GPU takes it over. */
  imageSeconds: number;
  /** Each time that it is started it is charged for so long at least. */
  leastSeconds: number;
  /** Work that it is given each time that it is started, about; null: it is started once, for all of it. */
  shareSeconds: number | null;
  /** Null: it is somebody's own. */
  usdPerHour: number | null;
}

/** What a shard of a bulk job gets on AWS: the image tower is small, so that a shard is decoding as much as anything, which takes processors and little memory. */
export const SHARD = { vcpus: 4, memory_mib: 8_192 } as const;

/** Memory that a process gets that encodes shards, one a core: with the embedded model it held 373 MiB at most (`npm run bench:bulk`). */
export const PROCESS_MIB = 512;

/**
 * Fargate charges for a minute at least, from when it begins to pull the image, and a shard takes some seconds: a child of an array job
 * does as many of them as fill a quarter of an hour. What a reclaimed machine loses is still one shard.
 */
export const SHARD_MACHINE: BulkMachine = {
  cores: SHARD.vcpus,
  imageSeconds: CORE_SECONDS.image,
  leastSeconds: 60,
  shareSeconds: 15 * 60,
  usdPerHour: fargateHourlyUsd(SHARD, 'arm64'),
};

/** What a shard gets on a machine with a GPU, the smallest of its kinds: all of its processors, and seven eighths of its memory. */
export const GPU_SHARD = { vcpus: 4, memory_mib: 14_336, gpus: 1 } as const;

/**
 * Charged from when the machine starts, which boots and pulls an image of gigabytes: taken for five minutes, which was not measured, as was
 * no GPU that encodes. It is taken for as fast as its processors decode and resize; a slower one takes longer.
 */
export const GPU_SHARD_MACHINE: BulkMachine = {
  cores: GPU_SHARD.vcpus,
  imageSeconds: CORE_SECONDS.preparation,
  leastSeconds: 5 * 60,
  shareSeconds: 60 * 60,
  usdPerHour: PRICE_TABLE.gpu[0].usd,
};

/** What a job may be encoded on. */
export interface BulkMachines {
  cpu: BulkMachine;
  /** Absent: there is none. */
  gpu?: BulkMachine | undefined;
}

/** A machine of somebody's own, which costs nothing more. */
export const ownMachine = (cores: number): BulkMachine => ({
  cores,
  imageSeconds: CORE_SECONDS.image,
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

export interface VideoEstimate {
  /** Hours of a machine for an hour of video. */
  hours: number;
  /** Dollars for them; null: the machine is somebody's own. */
  usd: number | null;
  /** Hours of a machine for one video at most, since a longer one is refused. */
  most_hours: number;
}

/** What videos take, which no plan opens: a rate in the place of a sum. */
export function estimateVideo({ frames }: VideoSampling, { cores, usdPerHour }: BulkMachine): VideoEstimate {
  const { second, frame } = CORE_SECONDS.video;
  const hoursOf = (seconds: number, embedded: number): number => (seconds * second + embedded * frame) / cores / 3600;
  const longest = Math.min(VIDEO_LIMITS.seconds, 'count' in frames ? Infinity : frames.most / frames.per_second);
  const hours = hoursOf(3600, 'count' in frames ? frames.count : 3600 * frames.per_second);
  return {
    hours,
    usd: usdPerHour === null ? null : hours * usdPerHour,
    most_hours: hoursOf(longest, 'count' in frames ? frames.count : longest * frames.per_second),
  };
}

/**
 * What a job is encoded on: what was asked for, else what costs less. Processors where both cost the same, where nobody knows what there is
 * to embed, and where there is nothing else. `asked` that is not there is refused before.
 */
export function chooseMachine(
  work: BulkWork | null,
  {
    shards,
    tier,
    machines,
    asked,
  }: Omit<BulkShards, 'machine'> & { machines: BulkMachines; asked: BulkMachineKind | null },
): BulkMachineKind {
  if (machines.gpu === undefined) return 'cpu';
  if (asked !== null) return asked;
  if (work === null) return 'cpu';
  const usdOn = (machine: BulkMachine): number => estimateBulk(work, { shards, tier, machine }).usd ?? 0;
  return usdOn(machines.gpu) < usdOn(machines.cpu) ? 'gpu' : 'cpu';
}

function secondsOf({ images, tokens }: BulkWork, tier: Tier, { cores, imageSeconds }: BulkMachine): number {
  return (images * imageSeconds + tokens * CORE_SECONDS.tokens[tier]) / cores;
}
