// Job classes: what a training job needs of a machine. A row becomes an AWS Batch job definition, a stack output and a price.
import { z } from 'zod';

/** Kinds of job queue: `cpu` runs on Fargate, `gpu` on machines with graphics processors. */
export const QUEUES = ['cpu', 'gpu'] as const;
export type Queue = (typeof QUEUES)[number];

export interface JobResources {
  queue: Queue;
  vcpus: number;
  memory_mib: number;
  gpus: number;
  /** A job is ended (SIGTERM, then SIGKILL) after this many hours in one attempt. */
  timeout_hours: number;
  /** Attempts in all: reclaimed spot machines, images that could not be pulled, and checkpoints (exit 75) are tried again. */
  attempts: number;
}

/** `cpu`: reads and writes. `embed`: one forward pass over much data. `train`: hours of optimisation on one GPU. */
export const JOB_CLASSES = {
  cpu: { queue: 'cpu', vcpus: 4, memory_mib: 16_384, gpus: 0, timeout_hours: 6, attempts: 5 },
  embed: { queue: 'gpu', vcpus: 4, memory_mib: 14_336, gpus: 1, timeout_hours: 12, attempts: 10 },
  train: { queue: 'gpu', vcpus: 8, memory_mib: 28_672, gpus: 1, timeout_hours: 48, attempts: 10 },
} as const satisfies Record<string, JobResources>;
export type JobClass = keyof typeof JOB_CLASSES;
export const JOB_CLASS_NAMES = Object.keys(JOB_CLASSES) as [JobClass, ...JobClass[]];

/** One text per job class, such as the ARN of its queue: how infra tells the planner by an environment variable. */
export const TextByJobClass = z.record(z.enum(JOB_CLASS_NAMES), z.string().min(1));

/** A value for every job class. */
export function byJobClass<T>(of: (jobClass: JobClass, resources: JobResources) => T): Record<JobClass, T> {
  return Object.fromEntries(JOB_CLASS_NAMES.map((name) => [name, of(name, JOB_CLASSES[name])])) as Record<JobClass, T>;
}
