// A child of an array job as it is, a process a core with one thread each, beside one process whose runs of the model use all cores.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { BulkDone } from '../../../contracts/src/bulk/job.ts';
import { median } from '../process.ts';

export interface Children {
  cores: number;
  photographs: number;
  /** Photographs a second, from the first shard on. */
  one_process: number;
  a_process_a_core: number;
  /** Median of the ratios of rounds: how many times as fast as one process those of a child are. */
  processes_times: number;
}

const HOSTS = join(import.meta.dirname, '../../../api/bulk/hosts');
/** Of each shard; a shard for each of four turns of a core. */
const SHARD = 48;
const TURNS = 4;

/** By wall time, in turns: what cores wait for each other is no CPU time. */
export async function measureChildren(photos: string, rounds: number): Promise<Children> {
  const cores = availableParallelism();
  const count = SHARD * TURNS * cores;
  const folder = mkdtempSync(join(tmpdir(), 'bench-children-'));
  try {
    const names = readdirSync(photos).filter((name) => name.endsWith('.jpg'));
    const lines = Array.from({ length: count }, (_, at) => {
      return JSON.stringify({ custom_id: `${at}`, uri: `file://${resolve(photos, names[at % names.length] ?? '')}` });
    });
    const input = join(folder, 'lines.jsonl');
    writeFileSync(input, lines.join('\n'));
    const taken: { one: number; several: number }[] = [];
    for (let round = 0; round <= rounds; round++) {
      const [one, several] = [join(folder, `one-${round}`), join(folder, `several-${round}`)];
      for (const output of [one, several]) {
        const words = [input, output, '--source', photos, '--plan', '--shard-items', `${SHARD}`];
        execFileSync(process.execPath, [join(HOSTS, 'encode.ts'), ...words]);
      }
      const found = { one: await run(one, 1), several: await run(several, cores) };
      if (round > 0) taken.push(found);
    }
    const rate = (times: number[]): number => Math.round((10 * count) / median(times)) / 10;
    return {
      cores,
      photographs: count,
      one_process: rate(taken.map(({ one }) => one)),
      a_process_a_core: rate(taken.map(({ several }) => several)),
      processes_times: Math.round(100 * median(taken.map(({ one, several }) => one / several))) / 100,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Seconds of the process that took longest, by the marks of its shards: without its start. */
async function run(output: string, workers: number): Promise<number> {
  const words = [join(HOSTS, 'shard.ts'), output, '--workers', `${workers}`];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'ignore', 'inherit'] });
  await new Promise<void>((end, reject) => {
    child.once('exit', (code) => (code === 0 ? end() : reject(new Error(`the child ended with ${code}`))));
  });
  const marks = readdirSync(output).filter((name) => name.endsWith('.done.json'));
  const seconds = new Array<number>(workers).fill(0);
  for (const name of marks) {
    const { shard, seconds: taken } = BulkDone.parse(JSON.parse(readFileSync(join(output, name), 'utf8')));
    seconds[shard % workers] = (seconds[shard % workers] ?? 0) + taken;
  }
  return Math.max(...seconds);
}
