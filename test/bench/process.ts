// CPU time of a child process: unlike wall time it hardly depends on what else the machine is doing.
import { readdirSync, readFileSync } from 'node:fs';

/** Process ids of this process's children of that name. Reads /proc: Linux. */
export function childrenNamed(name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      // "pid (name) state parent …"; the process may be gone since the folder was read.
      const [, found, parent] = read(`/proc/${pid}/stat`).match(/^\d+ \((.*)\) \S (\d+) /) ?? [];
      return found === name && Number(parent) === process.pid;
    });
}

/** Milliseconds that all living threads of a process have run. */
export function cpuMs(pid: number): number {
  const nanoseconds = readdirSync(`/proc/${pid}/task`).map((thread) =>
    Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(' ')[0]),
  );
  return nanoseconds.reduce((sum, value) => sum + value, 0) / 1e6;
}

/** Milliseconds that the first thread of a process has run: of workerd with one Worker, that of the isolate. */
export const firstThreadMs = (pid: number): number =>
  Number(read(`/proc/${pid}/task/${pid}/schedstat`).split(' ')[0]) / 1e6;

/** Milliseconds that this process has run. */
export function ownCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
