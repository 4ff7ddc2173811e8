// Makes the rows of a plan as a command shows them: what is finished, how long the rest takes and what it costs. Pure.
import { JOB_CLASSES, type JobClass, ranksOf } from '../../../contracts/src/job-classes.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import { type Estimate, estimateRun, type PastRun, ranksIn } from './estimate.ts';
import type { PlannedJob } from './plan.ts';
import { type StageCost, stageCost } from './prices.ts';
import { secondsSideBySide } from './schedule.ts';

/** A job in the plan, part of the document that --json prints. */
export interface StagePlan {
  id: string;
  stage: StageName;
  status: 'succeeded' | 'queued';
  address: string;
  output: string;
  /** The job class that it runs in on AWS. */
  job_class: JobClass;
  /** Containers that do its elements side by side before one joins them; null: one job does everything. */
  containers: number | null;
  /** Seconds that the finished run took. */
  seconds: number | null;
  /** From start to end, from comparable earlier runs; null without one. */
  estimated_seconds: number | null;
  /** On this machine by a closed form of the recipe, where no earlier run says it; null: neither does. */
  computed_seconds: number | null;
  /** US dollars on demand: by the estimate, and by the time limit of one attempt. Null where nothing is billed. */
  estimated_usd: number | null;
  limit_usd: number | null;
}

/** What is left of a plan to run, part of the document that --json prints. */
export interface Left {
  /** Jobs in all, and how many of them are to be run. */
  jobs: number;
  missing: number;
  /** By comparable earlier runs or a closed form, those without either left out. */
  estimated_seconds: number;
  without_estimate: number;
}

/** How the stages of a plan share this machine, and how long what is left takes so; part of the document that --json prints. */
export interface SideBySide {
  /** Stages at a time, at most. */
  parallel: number;
  /** Seconds in all, stages without an estimate left out. */
  estimated_seconds: number;
  /** The most times as long that a stage is taken to last as by itself, for its share of the cores. */
  slowdown: number;
}

/** `stages`: rows of `jobs`, in their order. `slowdown`: of a stage beside others. */
export function sideBySideOf(
  stages: readonly StagePlan[],
  jobs: readonly PlannedJob[],
  { parallel, slowdown }: { parallel: number; slowdown: (stage: StageName) => number },
): SideBySide {
  const missing = stages.flatMap(({ id, stage, status, estimated_seconds, computed_seconds }, index) =>
    status === 'succeeded'
      ? []
      : [
          {
            id,
            needs: jobs[index]?.needs ?? [],
            alone: estimated_seconds ?? computed_seconds ?? 0,
            times: slowdown(stage),
          },
        ],
  );
  const scheduled = missing.map(({ id, needs, alone, times }) => ({ id, needs, seconds: alone * times }));
  return {
    parallel,
    estimated_seconds: secondsSideBySide(scheduled, parallel),
    slowdown: Math.max(1, ...missing.map(({ times }) => times)),
  };
}

/** What is not finished of these, and how long that takes. */
export function leftOf(stages: readonly StagePlan[]): Left {
  const missing = stages.filter(({ status }) => status === 'queued');
  const estimates = missing.flatMap((stage) => stage.estimated_seconds ?? stage.computed_seconds ?? []);
  return {
    jobs: stages.length,
    missing: missing.length,
    estimated_seconds: estimates.reduce((sum, seconds) => sum + seconds, 0),
    without_estimate: missing.length - estimates.length,
  };
}

/** The rows of a plan for this machine. `past`: its finished runs; `computed`: seconds of stages of which there are none. */
export function stagePlans(
  jobs: readonly PlannedJob[],
  past: readonly PastRun[],
  computed: ReadonlyMap<StageName, number> = new Map(),
): StagePlan[] {
  return jobs.map((planned) => {
    const row = toStagePlan(planned, estimateRun(planned.job, past));
    const isOpen = row.status === 'queued' && row.estimated_seconds === null;
    return isOpen ? { ...row, computed_seconds: computed.get(row.stage) ?? null } : row;
  });
}

/** The rows of a plan for AWS. `past`: finished runs anywhere, of which those on the same kind of device are used. */
export function pricedStagePlans(jobs: readonly PlannedJob[], past: readonly PastRun[]): StagePlan[] {
  return jobs.map((planned) => {
    if (planned.report !== undefined) return toStagePlan(planned, undefined);
    const { jobClass } = planned;
    const device = JOB_CLASSES[jobClass].gpus === 0 ? 'cpu' : 'cuda';
    const ranks = ranksOf(jobClass);
    const comparable = past.filter(({ report }) => report.device.startsWith(device) && ranksIn(report) === ranks);
    const estimate = estimateRun(planned.job, comparable, planned.arraySize);
    return toStagePlan(planned, estimate, costOf(planned, estimate?.work));
  });
}

/** The work of an array is that of one job; the limit of time holds for each container, and for the one that joins. */
function costOf({ jobClass, arraySize = 0 }: PlannedJob, seconds: number | undefined): StageCost {
  const { estimatedUsd, limitUsd } = stageCost(jobClass, seconds);
  return { estimatedUsd, limitUsd: limitUsd * (arraySize + 1) };
}

function toStagePlan(
  { job, contentAddress, jobClass, arraySize, report }: PlannedJob,
  estimate: Estimate | undefined,
  cost?: StageCost,
): StagePlan {
  return {
    id: job.id,
    stage: job.config.stage,
    status: report === undefined ? 'queued' : 'succeeded',
    address: contentAddress,
    output: job.output,
    job_class: jobClass,
    containers: arraySize ?? null,
    seconds: report?.seconds ?? null,
    estimated_seconds: estimate?.elapsed ?? null,
    computed_seconds: null,
    estimated_usd: cost?.estimatedUsd ?? null,
    limit_usd: cost?.limitUsd ?? null,
  };
}
