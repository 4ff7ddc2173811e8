// Resident memory of a process over time. Reads /proc: Linux.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export function residentMib(pid: number): number {
  const [, kib] = readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m) ?? [];
  return Number(kib) / 1024;
}

export interface Watch {
  /** Not counted. */
  warmUpSeconds: number;
  seconds: number;
  signal: AbortSignal;
}

/** A sample every second. */
export async function watchMemory(pid: number, { warmUpSeconds, seconds, signal }: Watch): Promise<number[]> {
  const samples: number[] = [];
  await sleep(warmUpSeconds * 1000, undefined, { signal }).catch(() => {});
  for (let second = 0; second < seconds && !signal.aborted; second++) {
    samples.push(residentMib(pid));
    await sleep(1000, undefined, { signal }).catch(() => {});
  }
  return samples;
}
