// Processes that encode shards of a bulk job on this machine, and the memory that each has. Reads /proc: Linux.
import { readdirSync, readFileSync } from 'node:fs';

export interface ShardProcess {
  pid: number;
  /** Resident now, and at most since it began. */
  bytes: number;
  peakBytes: number;
}

/** `output`: the folder of the job. */
export function shardProcesses(output: string): ShardProcess[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (!words.some((word) => word.endsWith('shard.ts')) || !words.includes(`file://${output}`)) return [];
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      return [{ pid: Number(name), bytes: field(status, 'VmRSS'), peakBytes: field(status, 'VmHWM') }];
    } catch {
      return []; // It ended this moment.
    }
  });
}

function field(status: string, name: string): number {
  const [, kilobytes = '0'] = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status) ?? [];
  return Number(kilobytes) * 1024;
}
