// Job classes: what a training job needs of its machines. A row becomes an AWS Batch job definition, a stack output and a price.
import * as z from 'zod';

/**
 * Kinds of job queue. `cpu` runs on Fargate, `gpu` on machines with one graphics processor. A deployment has the others where its
 * settings say so: `gpus` several graphics processors in a machine, `h100` machines with H100s, `nodes` several such machines
 * side by side.
 */
export const QUEUES = ['cpu', 'gpu', 'gpus', 'h100', 'nodes'] as const;
export type Queue = (typeof QUEUES)[number];

export interface JobResources {
  queue: Queue;
  /** Of one machine, as are memory and GPUs. */
  vcpus: number;
  memory_mib: number;
  gpus: number;
  /** Memory of a GPU in 10^9 bytes: the least that a machine of the queue has for such a job. 0 without a GPU. */
  gpu_gb: number;
  /** Disk for a job's files on each machine, in 10^9 bytes: local disks where it has them. */
  disk_gb: number;
  /** Machines that train together. */
  nodes: number;
  /** A job is ended (SIGTERM, then SIGKILL) after this many hours in one attempt. */
  timeout_hours: number;
  /** Attempts in all: reclaimed spot machines, images that could not be pulled, and checkpoints (exit 75) are tried again. */
  attempts: number;
}

const TRAIN = { nodes: 1, timeout_hours: 48, attempts: 10 } as const;

/**
 * `cpu`: reads and writes. `embed`: one forward pass over much data. `train`: hours of optimisation on one GPU, whichever is there.
 * The others are asked for by a recipe, in `job_classes`. Memory is seven eighths of the machine's: the rest is its own.
 */
export const JOB_CLASSES = {
  cpu: {
    queue: 'cpu',
    vcpus: 4,
    memory_mib: 16_384,
    gpus: 0,
    gpu_gb: 0,
    disk_gb: 100,
    nodes: 1,
    timeout_hours: 6,
    attempts: 5,
  },
  embed: {
    queue: 'gpu',
    vcpus: 4,
    memory_mib: 14_336,
    gpus: 1,
    gpu_gb: 24,
    disk_gb: 190,
    nodes: 1,
    timeout_hours: 12,
    attempts: 10,
  },
  train: { queue: 'gpu', vcpus: 8, memory_mib: 28_672, gpus: 1, gpu_gb: 24, disk_gb: 190, ...TRAIN },
  // Of the queue's machines g6e.4xlarge alone has this memory.
  train_l40s: { queue: 'gpu', vcpus: 16, memory_mib: 114_688, gpus: 1, gpu_gb: 48, disk_gb: 190, ...TRAIN },
  // g6e.12xlarge, g6e.48xlarge
  train_4_l40s: { queue: 'gpus', vcpus: 48, memory_mib: 344_064, gpus: 4, gpu_gb: 48, disk_gb: 3_800, ...TRAIN },
  train_8_l40s: { queue: 'gpus', vcpus: 192, memory_mib: 1_376_256, gpus: 8, gpu_gb: 48, disk_gb: 7_600, ...TRAIN },
  // p5.4xlarge, p5.48xlarge
  train_h100: { queue: 'h100', vcpus: 16, memory_mib: 229_376, gpus: 1, gpu_gb: 80, disk_gb: 3_800, ...TRAIN },
  train_8_h100: { queue: 'h100', vcpus: 192, memory_mib: 1_835_008, gpus: 8, gpu_gb: 80, disk_gb: 30_700, ...TRAIN },
  // Two p5.48xlarge
  train_2x8_h100: {
    queue: 'nodes',
    vcpus: 192,
    memory_mib: 1_835_008,
    gpus: 8,
    gpu_gb: 80,
    disk_gb: 30_700,
    ...TRAIN,
    nodes: 2,
  },
} as const satisfies Record<string, JobResources>;
export type JobClass = keyof typeof JOB_CLASSES;
export const JOB_CLASS_NAMES = Object.keys(JOB_CLASSES) as [JobClass, ...JobClass[]];

export const JobClassName = z.enum(JOB_CLASS_NAMES).meta({
  title: 'JobClassName',
  description: 'A job class: which machines a job runs on, on AWS.',
});

/** The classes of stages where a recipe names no other: every deployment has them. */
export const BASE_CLASSES: readonly JobClass[] = ['cpu', 'embed', 'train'];

/** What a job of the class needs, as every row has it. */
export const resourcesOf = (jobClass: JobClass): JobResources => JOB_CLASSES[jobClass];

/** Hours that a job may wait in its queue for a machine that is not to be had, on spot or on demand; then Batch ends it. */
export const CAPACITY_HOURS = 6;
/** Hours that a job may spend in its queue in all: behind others, and between its attempts. */
const QUEUE_HOURS = 48;

/** A job that has not ended after this time never will: its waiting, and all of its attempts at their longest. */
export const secondsAtMost = (jobClass: JobClass): number =>
  (QUEUE_HOURS + JOB_CLASSES[jobClass].attempts * JOB_CLASSES[jobClass].timeout_hours) * 3600;

/** Processes that train together in a job of the class: one a GPU. */
export const ranksOf = (jobClass: JobClass): number =>
  Math.max(1, JOB_CLASSES[jobClass].gpus) * JOB_CLASSES[jobClass].nodes;

/** One text per job class, such as the ARN of its queue: how infra tells the planner by an environment variable. */
export const TextByJobClass = z.partialRecord(z.enum(JOB_CLASS_NAMES), z.string().min(1));
export type TextByJobClass = z.infer<typeof TextByJobClass>;

/** A value for every job class. */
export function byJobClass<T>(of: (jobClass: JobClass, resources: JobResources) => T): Record<JobClass, T> {
  return Object.fromEntries(JOB_CLASS_NAMES.map((name) => [name, of(name, JOB_CLASSES[name])])) as Record<JobClass, T>;
}

/** A value for every job class that there is one for. */
export function bySomeJobClasses<T>(
  of: (jobClass: JobClass, resources: JobResources) => T | undefined,
): Partial<Record<JobClass, T>> {
  const values = JOB_CLASS_NAMES.flatMap((name) => {
    const value = of(name, JOB_CLASSES[name]);
    return value === undefined ? [] : [[name, value] as const];
  });
  return Object.fromEntries(values) as Partial<Record<JobClass, T>>;
}
