// Runs jobs side by side: each after those that it needs, otherwise in the order of their list.
import type { PlannedJob } from '../plan/plan.ts';

export type RunOutcome = 'succeeded' | 'interrupted' | 'failed';

export interface SideBySideOptions {
  /** How many run at a time, at most. */
  places: number;
  /** Runs a job in a place of its own among those that run beside it (0, 1 and so on). */
  run(planned: PlannedJob, place: number): Promise<RunOutcome>;
  /** One has ended and one has not succeeded: those that run now are the last. */
  onLast(): void;
}

/**
 * Runs the jobs, at most `places` at a time. Once one has not succeeded, none is begun any more, and those that run come to
 * their end: what they do is used by the next command. Resolves to the worst outcome; rejects after all have ended where one did.
 */
export async function runSideBySide(
  jobs: readonly PlannedJob[],
  { places, run, onLast }: SideBySideOptions,
): Promise<RunOutcome> {
  const waiting = new Set(jobs);
  const missing = new Set(jobs.map(({ job }) => job.id));
  const free = Array.from({ length: places }, (_, place) => place);
  const running = new Set<Promise<void>>();
  const outcomes = new Set<RunOutcome>();
  const thrown: unknown[] = [];
  const allIsWell = (): boolean => thrown.length === 0 && !outcomes.has('failed') && !outcomes.has('interrupted');
  const begin = async (planned: PlannedJob, place: number): Promise<void> => {
    try {
      const outcome = await run(planned, place);
      outcomes.add(outcome);
      if (outcome === 'succeeded') missing.delete(planned.job.id);
    } catch (error) {
      thrown.push(error);
    }
    free.push(place);
    if (!allIsWell()) onLast();
  };
  const beginAllThatCan = (): void => {
    while (allIsWell() && free.length > 0) {
      const next = [...waiting].find(({ needs }) => !needs.some((id) => missing.has(id)));
      if (next === undefined) return;
      waiting.delete(next);
      const ended = begin(next, free.shift() ?? 0).then(() => void running.delete(ended));
      running.add(ended);
    }
  };
  beginAllThatCan();
  while (running.size > 0) {
    await Promise.race(running);
    beginAllThatCan();
  }
  if (thrown.length > 0) throw thrown[0];
  if (outcomes.has('failed')) return 'failed';
  return outcomes.has('interrupted') ? 'interrupted' : 'succeeded';
}
