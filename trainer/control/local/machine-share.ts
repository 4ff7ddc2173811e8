// The part of this machine that a stage gets beside others: cores and GPUs, by the variables that PyTorch reads.
import { existsSync, readdirSync } from 'node:fs';
import { RANKED_STAGES, type StageName } from '../../../contracts/src/stages.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

/** What a machine has. */
export interface Machine {
  cores: number;
  /** The GPUs that a process sees, by the names that CUDA_VISIBLE_DEVICES takes. */
  gpus: readonly string[];
}

/** How many stages run side by side, and how many processes each has. */
export interface Division {
  parallel: number;
  ranks: number;
}

/**
 * Names of the GPUs that a process of this environment sees. CUDA takes the names of CUDA_VISIBLE_DEVICES up to the first that
 * is none, -1 by custom (https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#env-vars).
 */
export function visibleGpus({ CUDA_VISIBLE_DEVICES: listed }: NodeJS.ProcessEnv, devices = '/dev'): string[] {
  const found = existsSync(devices) ? readdirSync(devices).filter((name) => /^nvidia\d+$/.test(name)).length : 0;
  const names = listed?.split(',').map((name) => name.trim()) ?? Array.from({ length: found }, (_, gpu) => `${gpu}`);
  const end = names.findIndex((name) => name === '' || name === '-1');
  return names.slice(0, Math.min(found, end < 0 ? names.length : end));
}

/**
 * Variables for the stage at each place. Cores are shared evenly, because threads that wait for one another's cores are slower
 * than fewer threads; a GPU belongs to one stage. What the environment sets already stays. Throws a UserError where there are
 * fewer GPUs than stages need.
 */
export function sharesOf(
  { cores, gpus }: Machine,
  { parallel, ranks }: Division,
  env: NodeJS.ProcessEnv,
): NodeJS.ProcessEnv[] {
  if (parallel === 1) return [{}];
  if (gpus.length > 0 && gpus.length < parallel * ranks)
    throw new UserError(
      `--parallel ${parallel}${ranks === 1 ? '' : ` with --ranks ${ranks}`}: ${gpus.length} GPUs are to be seen here, and each process uses one of its own`,
    );
  const threads = threadsOf(cores, parallel * ranks);
  const own = Math.floor(gpus.length / parallel);
  return Array.from({ length: parallel }, (_, place) => ({
    OMP_NUM_THREADS: env.OMP_NUM_THREADS ?? `${threads}`,
    ...(own === 0 ? {} : { CUDA_VISIBLE_DEVICES: gpus.slice(place * own, (place + 1) * own).join(',') }),
  }));
}

function threadsOf(cores: number, processes: number): number {
  return Math.max(1, Math.floor(cores / processes));
}

/**
 * The times as long that a stage takes beside others as by itself, where twice the cores take half the time. On GPUs, of which it
 * has as many as by itself, 1.
 */
export function slowdownOf(
  { cores, gpus }: Machine,
  { parallel, ranks, stage }: Division & { stage: StageName },
  { OMP_NUM_THREADS: set }: NodeJS.ProcessEnv,
): number {
  if (gpus.length > 0) return 1;
  const processes = RANKED_STAGES.includes(stage) ? ranks : 1;
  const own = Number(set) > 0 ? Number(set) : undefined;
  const alone = Math.min(cores, own === undefined ? cores : own * processes);
  const beside = Math.min((own ?? threadsOf(cores, parallel * ranks)) * processes, cores / parallel);
  return Math.max(1, alone / beside);
}
