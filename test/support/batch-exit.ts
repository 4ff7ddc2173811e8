// AWS Batch after a failed attempt, as its user guide describes it: evaluateOnExit, attempts, terminations.
import { z } from 'zod';

export const RetryStrategy = z.object({
  Attempts: z.int(),
  EvaluateOnExit: z.array(
    z.strictObject({
      Action: z.enum(['RETRY', 'EXIT']),
      OnExitCode: z.string().optional(),
      OnReason: z.string().optional(),
      OnStatusReason: z.string().optional(),
    }),
  ),
});
export type RetryStrategy = z.infer<typeof RetryStrategy>;

export interface Exit {
  exitCode?: number;
  /** Of the container. */
  reason?: string;
  /** Of the job. */
  statusReason?: string;
  /** Ended by TerminateJob or by the timeout: such a job is never tried again. */
  terminated?: boolean;
}

/** `attempt`: the one that ended, counted from 1. */
export function afterAttempt({ Attempts, EvaluateOnExit }: RetryStrategy, attempt: number, exit: Exit): string {
  if (exit.exitCode === 0 && exit.statusReason === undefined) return 'SUCCEEDED';
  if (exit.terminated === true || attempt >= Attempts) return 'FAILED';
  // The first entry of which every condition holds decides; where none does, the job is tried again.
  const found = EvaluateOnExit.find(
    ({ OnExitCode, OnReason, OnStatusReason }) =>
      matches(OnExitCode, exit.exitCode === undefined ? '' : String(exit.exitCode)) &&
      matches(OnReason, exit.reason ?? '') &&
      matches(OnStatusReason, exit.statusReason ?? ''),
  );
  return found?.Action === 'EXIT' ? 'FAILED' : 'RETRY';
}

/** A pattern may end with an asterisk, and has none elsewhere; without regard to case. */
function matches(pattern: string | undefined, value: string): boolean {
  if (pattern === undefined) return true;
  const [wanted, given] = [pattern.toLowerCase(), value.toLowerCase()];
  return wanted.endsWith('*') ? given.startsWith(wanted.slice(0, -1)) : given === wanted;
}
