// Holds each job of a plan against its job class: GPU memory, RAM, disk, hours, dollars; and names what cannot fit, with what would. Pure.
import {
  JOB_CLASS_NAMES,
  type JobClass,
  type JobResources,
  ranksOf,
  resourcesOf,
} from '../../../contracts/src/job-classes.ts';
import { RANKED_STAGES, type StageName, spansMachines } from '../../../contracts/src/stages.ts';
import { type Recipe, stagesOf } from '../../../contracts/src/training/recipe.ts';
import {
  countedIn,
  type DataBytes,
  type Facts,
  type Form,
  type Machines,
  type NoForm,
  secondsOf,
  total,
} from './forms/form.ts';
import { CORE, GPU_RATES } from './forms/rates.ts';
import { formOf } from './forms/stage-forms.ts';
import type { PlannedJob } from './plan.ts';
import { hourlyUsd } from './prices.ts';

export interface StageNeeds {
  id: string;
  stage: StageName;
  job_class: JobClass;
  /** On each GPU, and what is free on one; null: that is not known. */
  gpu_bytes: number | null;
  gpu_limit: number;
  host_bytes: number | null;
  host_limit: number;
  disk_bytes: number | null;
  disk_limit: number;
  /** Of computation and reading, at the rates of plan/forms/rates.ts, on the processor that `usd` is for. */
  hours: number | null;
  usd: number | null;
  processor: string;
  unknown: string[];
  /** Why it cannot run, each with what would make it. */
  problems: string[];
}

/** What CUDA itself and fragments between tensors take of a GPU. */
const CUDA = 1.5e9;

export interface NeedsOptions {
  recipe: Recipe;
  jobs: readonly PlannedJob[];
  /** Width of the features of a text, where the language model's tensors say so. */
  features?: number | undefined;
  data?: DataBytes | undefined;
  /** Forms of stages with a language model, from the shapes of its tensors. */
  languageForm(stage: StageName, facts: Facts): Form | undefined;
}

type FormIn = (jobClass: JobClass) => Form | NoForm | undefined;

/** The needs of every job that has to run and of which something is known. */
export function stageNeeds({ recipe, jobs, features, data, languageForm }: NeedsOptions): StageNeeds[] {
  const counted = countedIn(jobs.find(({ job }) => job.id === 'prepare')?.report);
  const seen = new Set<string>();
  return jobs.flatMap((planned) => {
    const { job, jobClass, report } = planned;
    const { stage } = job.config;
    // Jobs of a comparison take what the one of the recipe takes.
    if (report !== undefined || seen.has(stage) || !stagesOf(recipe).includes(stage)) return [];
    seen.add(stage);
    const formIn: FormIn = (name) => {
      const ranks = ranksOf(name);
      const facts: Facts = { ranks, onMachine: ranks / resourcesOf(name).nodes, features, counted, data };
      return formOf(recipe, stage, facts) ?? languageForm(stage, facts);
    };
    const form = formIn(jobClass);
    if (form === undefined) return [];
    const needs = blank(job.id, stage, jobClass);
    if (typeof form === 'string') return [{ ...needs, unknown: [form] }];
    return [filled(needs, form, formIn)];
  });
}

/** Seconds of each stage that has a closed form, on one machine without a GPU. */
export function secondsOn(
  cores: number,
  { recipe, jobs, features, data, languageForm }: NeedsOptions,
): ReadonlyMap<StageName, number> {
  const counted = countedIn(jobs.find(({ job }) => job.id === 'prepare')?.report);
  const facts: Facts = { ranks: 1, onMachine: 1, features, counted, data };
  return new Map(
    stagesOf(recipe).flatMap((stage): [StageName, number][] => {
      const form = formOf(recipe, stage, facts) ?? languageForm(stage, facts);
      if (form === undefined || typeof form === 'string' || form.unknown.length > 0) return [];
      return [[stage, secondsOf(form, { rate: cores * CORE.flop, cores })]];
    }),
  );
}

function blank(id: string, stage: StageName, jobClass: JobClass): StageNeeds {
  const { gpus, gpu_gb, memory_mib, disk_gb } = resourcesOf(jobClass);
  return {
    id,
    stage,
    job_class: jobClass,
    gpu_bytes: null,
    gpu_limit: gpus === 0 ? 0 : gpu_gb * 1e9 - CUDA,
    host_bytes: null,
    host_limit: memory_mib * 2 ** 20,
    disk_bytes: null,
    disk_limit: disk_gb * 1e9,
    hours: null,
    usd: null,
    processor: processorOf(jobClass),
    unknown: [],
    problems: [],
  };
}

function filled(needs: StageNeeds, form: Form, formIn: FormIn): StageNeeds {
  const { stage, job_class } = needs;
  const { gpus } = resourcesOf(job_class);
  const seconds = secondsOf(form, machinesOf(job_class));
  const hours = seconds === 0 ? null : seconds / 3600;
  const known = {
    ...needs,
    gpu_bytes: gpus === 0 ? null : total(form, form.atOnce),
    host_bytes: form.host ?? null,
    disk_bytes: form.disk ?? null,
    hours,
    usd: hours === null ? null : hours * hourlyUsd(job_class).expected * (form.containers ?? 1),
    unknown: form.unknown,
  };
  const problems: string[] = [];
  const better = (most: (resources: JobResources) => number, own?: string): string => {
    // Stages without a GPU stay on machines without one.
    const found = gpus === 0 ? undefined : classThatFits(stage, formIn);
    const ways = [
      ...(own === undefined ? [] : [own]),
      ...(found === undefined ? [] : [`job_classes.${stage} "${found}" has it`]),
    ];
    const classes = JOB_CLASS_NAMES.map(resourcesOf).filter((row) => gpus > 0 === row.gpus > 0);
    return ways.length > 0
      ? ways.join(', or ')
      : `no job class has that, the largest has ${gb(Math.max(...classes.map(most)))}`;
  };
  if (known.gpu_bytes !== null && known.gpu_bytes > known.gpu_limit) {
    const isBounded = form.each > 0 && (form.least ?? 0) <= known.gpu_limit;
    const fits = isBounded ? Math.floor((known.gpu_limit - form.fixed) / form.each) : 0;
    const smaller = fits < 1 ? undefined : `${form.setting} ${settingFor(form, fits, ranksOf(job_class))} would fit`;
    problems.push(
      `${stage} takes ${gb(known.gpu_bytes)} on a GPU, of which ${gb(total(form, 0))} whatever the batch; a GPU of class ` +
        `${job_class} has ${gb(known.gpu_limit)} free at least: ${better((row) => row.gpu_gb * 1e9 - CUDA, smaller)}`,
    );
  }
  if (known.host_bytes !== null && known.host_bytes > known.host_limit)
    problems.push(
      `${stage} takes ${gb(known.host_bytes)} of memory, a machine of class ${job_class} gives it ${gb(known.host_limit)}: ${better((row) => row.memory_mib * 2 ** 20, form.inMemory?.(known.host_limit))}`,
    );
  if (known.disk_bytes !== null && known.disk_bytes > known.disk_limit)
    problems.push(
      `${stage} takes ${gb(known.disk_bytes)} of disk, a machine of class ${job_class} has ${gb(known.disk_limit)}: ${better((row) => row.disk_gb * 1e9, form.onDisk?.(known.disk_limit))}`,
    );
  return { ...known, problems };
}

/** `batch_tokens` is of all ranks; a micro-batch is of each. */
function settingFor({ setting }: Form, fits: number, ranks: number): number {
  return setting.endsWith('.batch_tokens') ? fits * ranks : fits;
}

/** The cheapest class in which a stage fits. */
function classThatFits(stage: StageName, formIn: FormIn): JobClass | undefined {
  const fitting = JOB_CLASS_NAMES.filter((name) => {
    const form = formIn(name);
    const { gpus } = resourcesOf(name);
    if (gpus === 0 || form === undefined || typeof form === 'string') return false;
    if (ranksOf(name) > 1 && !isRanked(stage)) return false;
    if (resourcesOf(name).nodes > 1 && !spansMachines(stage)) return false;
    const { gpu_limit, host_limit, disk_limit } = blank('', stage, name);
    return total(form, form.atOnce) <= gpu_limit && (form.host ?? 0) <= host_limit && (form.disk ?? 0) <= disk_limit;
  });
  return fitting.toSorted((a, b) => hourlyUsd(a).expected - hourlyUsd(b).expected)[0];
}

const isRanked = (stage: StageName): boolean => RANKED_STAGES.includes(stage);

/** The GPU of the machine that the price of a class is of. */
function gpuOf({ gpu_gb }: JobResources): keyof typeof GPU_RATES {
  return gpu_gb >= 80 ? 'H100' : 'L40S';
}

function processorOf(jobClass: JobClass): string {
  const resources = resourcesOf(jobClass);
  return resources.gpus === 0 ? `${resources.vcpus} vCPUs` : gpuOf(resources);
}

function machinesOf(jobClass: JobClass): Machines {
  const resources = resourcesOf(jobClass);
  const cores = resources.vcpus * resources.nodes;
  const rate = resources.gpus === 0 ? cores * CORE.flop : ranksOf(jobClass) * GPU_RATES[gpuOf(resources)];
  return { rate, cores };
}

function gb(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
