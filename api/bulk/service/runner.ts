// Runs the jobs of a store one after the other as processes of this machine, and those that an earlier run left behind.
import { availableParallelism } from 'node:os';
import { jobOfKey, PREFIXES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import type { ObjectStore } from '../../registry/store.ts';
import type { JobFolder } from '../folder.ts';
import type { PlaceOptions } from '../places.ts';
import { planJob } from '../plan.ts';
import { type RunOptions, runShards } from '../run.ts';
import { isFinal, type JobState, statusOf } from './status.ts';

export interface Runner {
  /** Plans it and runs its shards, when those that were submitted before have ended. */
  submit(id: string): void;
  /** Ends its processes; what they have finished stays. */
  cancel(id: string): void;
  /** Submits what is not finished, the oldest first. */
  resume(): Promise<void>;
  /** Ends the processes, of which the jobs go on with the next start. */
  stop(): Promise<void>;
}

export interface RunnerOptions {
  open(id: string): JobFolder;
  store: Pick<ObjectStore, 'list'>;
  places: PlaceOptions;
  host: RunOptions['host'];
  /** Processes (default: all cores but one, which answers requests). */
  workers?: number | undefined;
  onProblem(sentence: string): void;
}

export async function readState(folder: JobFolder): Promise<JobState | undefined> {
  const job = await folder.job();
  if (!job) return undefined;
  const [plan, stop, done] = await Promise.all([folder.plan(), folder.stopped(), folder.allDone()]);
  return { job, plan, stop, done };
}

export function createRunner(options: RunnerOptions): Runner {
  const workers = options.workers ?? Math.max(1, availableParallelism() - 1);
  const stops = new Map<string, AbortController>();
  let isStopping = false;
  let queue = Promise.resolve();

  async function run(id: string): Promise<void> {
    const folder = options.open(id);
    const state = await readState(folder);
    if (!state || isStopping || isFinal(statusOf(state, Date.now()))) return;
    const stop = new AbortController();
    stops.set(id, stop);
    const expires = state.job.expires_at === null ? undefined : Date.parse(state.job.expires_at) - Date.now();
    const signals = [stop.signal, ...(expires === undefined ? [] : [AbortSignal.timeout(expires)])];
    try {
      const plan = await planJob(folder, state.job, options.places);
      await runShards(folder, plan, { workers, host: options.host, signal: AbortSignal.any(signals) });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      options.onProblem(`${id}: ${message}`);
      const at = new Date().toISOString();
      await folder.stop({ schema_version: SCHEMA_VERSION, job: id, status: 'failed', at, message, shard: null });
    } finally {
      stops.delete(id);
    }
  }

  const runner: Runner = {
    submit(id) {
      queue = queue.then(() => run(id)).catch((error: unknown) => options.onProblem(`${id}: ${error}`));
    },
    cancel: (id) => stops.get(id)?.abort(),
    async resume() {
      const ids = await jobsIn(options.store);
      const states = await Promise.all(ids.map((id) => readState(options.open(id))));
      const open = states.flatMap((state) => (state && !isFinal(statusOf(state, Date.now())) ? [state.job] : []));
      for (const { id } of open.sort((a, b) => (a.created_at < b.created_at ? -1 : 1))) runner.submit(id);
    },
    async stop() {
      isStopping = true;
      for (const stop of stops.values()) stop.abort();
      await queue;
    },
  };
  return runner;
}

/** Ids of all jobs in a store. */
export async function jobsIn(store: Pick<ObjectStore, 'list'>): Promise<string[]> {
  const keys = await store.list(`${PREFIXES.jobs}/`);
  return [...new Set(keys.flatMap(({ key }) => jobOfKey(key) ?? []))];
}
