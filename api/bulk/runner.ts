// Runs the jobs of a store one after the other as processes of this machine, and those that an earlier run left behind.

import { availableParallelism } from 'node:os';
import { ownMachine } from '../../contracts/src/cloud/bulk-estimate.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import type { ObjectStore } from '../registry/store.ts';
import { type RunOptions, runShards } from './run.ts';
import type { JobFolder } from './service/folder.ts';
import { type PlanOptions, planJob } from './service/plan.ts';
import { jobsIn, type Runner, readState, stopOf } from './service/states.ts';
import { isFinal, type JobState, statusOf } from './service/status.ts';
import { type Send, tellOfEnd } from './service/webhook.ts';

export interface LocalRunner extends Runner {
  /** Its jobs are run one after the other, when those that were submitted before have ended. */
  submit(id: string): void;
  cancel(id: string): void;
  /** Submits what is not finished, the oldest first. */
  resume(): Promise<void>;
  /** Ends the processes, of which the jobs go on with the next start. */
  stop(): Promise<void>;
}

export interface RunnerOptions {
  open(id: string): JobFolder;
  store: Pick<ObjectStore, 'list'>;
  /** Opens a folder or prefix that an input is in. */
  openPlace: PlanOptions['open'];
  host: RunOptions['host'];
  /** Processes (default: all cores but one, which answers requests). */
  workers?: number | undefined;
  /** Sends what tells of the end of a job. */
  send: Send;
  /** Hosts in private networks that may be told of the end of jobs. */
  webhookHosts?: readonly string[];
  onProblem(sentence: string): void;
}

export function createRunner(options: RunnerOptions): LocalRunner {
  const workers = options.workers ?? Math.max(1, availableParallelism() - 1);
  const planning: PlanOptions = { open: options.openPlace, machines: { cpu: ownMachine(workers) } };
  const stops = new Map<string, AbortController>();
  /** Submitted and not ended. */
  const known = new Set<string>();
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
      const plan = await planJob(folder, state.job, planning);
      await runShards(folder, plan, { workers, host: options.host, signal: AbortSignal.any(signals) });
    } catch (error) {
      const message = reasonOf(error);
      options.onProblem(`${id}: ${message}`);
      await folder.stop(stopOf(id, 'failed', { message, shard: null }));
    } finally {
      stops.delete(id);
    }
  }

  /** Beside the next job: the address that is told may be slow to answer. */
  function tell(id: string): void {
    if (isStopping) return;
    tellOfEnd(options.open(id), { send: options.send, hosts: options.webhookHosts ?? [] }).catch((error: unknown) =>
      options.onProblem(`${id}: its end could not be told: ${reasonOf(error)}`),
    );
  }

  const runner: LocalRunner = {
    planning,
    submit(id) {
      if (known.has(id)) return;
      known.add(id);
      queue = queue
        .then(() => run(id))
        .catch((error: unknown) => options.onProblem(`${id}: ${error}`))
        .finally(() => {
          known.delete(id);
          tell(id);
        });
    },
    cancel: (id) => stops.get(id)?.abort(),
    async resume() {
      const ids = await jobsIn(options.store);
      // A job that cannot be read, such as one of another version, must not keep the others from going on.
      const readOrTell = (id: string): Promise<JobState | undefined> =>
        readState(options.open(id)).catch((error: unknown) => {
          options.onProblem(`${id} is passed over: ${reasonOf(error)}`);
          return undefined;
        });
      const states = await Promise.all(ids.map(readOrTell));
      // Jobs that ended while no process was here to tell of it, or while it was told.
      for (const state of states) if (state && isFinal(statusOf(state, Date.now()))) tell(state.job.id);
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
