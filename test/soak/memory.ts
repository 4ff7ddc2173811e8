// Resident memory of a process over time. Reads /proc: Linux.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Alone } from './alone.ts';

function residentMib(pid: number): number {
  const [, kib] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m) ?? [];
  return Number(kib) / 1024;
}

export interface Watch {
  /** Not counted. */
  warmUpSeconds: number;
  seconds: number;
  signal: AbortSignal;
}

/** A sample every two seconds, without what V8 has not collected yet. */
export async function watchMemory({ pid, collectGarbage }: Alone, watch: Watch): Promise<number[]> {
  const { warmUpSeconds, seconds, signal } = watch;
  const samples: number[] = [];
  await sleep(warmUpSeconds * 1000, undefined, { signal }).catch(() => {});
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end && !signal.aborted) {
    await collectGarbage();
    samples.push(residentMib(pid));
    await sleep(2000, undefined, { signal }).catch(() => {});
  }
  return samples;
}
