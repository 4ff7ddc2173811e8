// Runs the shards of a bulk job as processes of this machine. A process that dies is started again; no shard is lost.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { BulkPlan } from '../../contracts/src/bulk/job.ts';
import { BulkEvent, readEvent } from '../../contracts/src/events.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { JobFolder } from './service/folder.ts';

export interface RunOptions {
  /** Processes, each of which takes every so manieth shard. */
  workers: number;
  /** The host that encodes shards, and what it is told beside the job. */
  host: { file: string; words: string[] };
  signal: AbortSignal;
  onProgress?: ((progress: Extract<BulkEvent, { event: 'job' }>) => void) | undefined;
}

/** Times that a process may die without having finished a shard in between. */
const DEATHS = 3;
/**
 * V8 lets what is new grow to 32 MiB three times over before it looks for what is left of it, whether that is little or much. It is little:
 * with less, memory is flat from the first shard on, and nothing is slower.
 */
const NODE_OPTIONS = ['--max-semi-space-size=4'];
/** What a process said last, which tells why it died. */
const LAST_CHARS = 2000;

/** True when every shard is finished, false when it was stopped. Throws where a shard cannot be finished. */
export async function runShards(folder: JobFolder, plan: BulkPlan, options: RunOptions): Promise<boolean> {
  const progress = createProgress(await folder.allDone(), plan, options);
  const workers = Math.min(options.workers, plan.shards);
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const lanes = Array.from({ length: workers }, (_, lane) =>
    runLane(`${lane}/${workers}`, { ...options, folder, signal, onEvent: progress.note }).catch((error: unknown) => {
      stop.abort();
      throw error;
    }),
  );
  const ended = await Promise.allSettled(lanes);
  for (const lane of ended) if (lane.status === 'rejected') throw lane.reason;
  // Also where a stop came after the last mark.
  return (await folder.countDone()) >= plan.shards;
}

interface Lane extends RunOptions {
  folder: JobFolder;
  onEvent(event: BulkEvent): void;
}

/** Until its shards are finished or it is stopped. */
async function runLane(lane: string, options: Lane): Promise<void> {
  let deaths = 0;
  while (!options.signal.aborted) {
    let hasFinished = false;
    const { code, said } = await runProcess(lane, {
      ...options,
      onEvent(event) {
        hasFinished ||= event.event === 'done';
        options.onEvent(event);
      },
    });
    if (isEnd(code) || options.signal.aborted) return;
    if (code === EXIT.usage) throw new UserError(said.trim());
    deaths = hasFinished ? 1 : deaths + 1;
    if (deaths > DEATHS) {
      throw new Error(
        `a process died ${deaths} times at the same shard, last with ${code}: ${said.trim() || 'it said nothing'}`,
      );
    }
  }
}

/** Done, stopped, or nothing of the job is wanted any more. */
function isEnd(code: number | NodeJS.Signals): boolean {
  return code === EXIT.ok || code === EXIT.interrupted || code === EXIT.refused;
}

async function runProcess(lane: string, { folder, host, signal, onEvent }: Lane) {
  // Its own process group: Ctrl-C reaches this process, which ends all of them in order.
  const child = spawn(process.execPath, [...NODE_OPTIONS, host.file, folder.uri, '--lane', lane, ...host.words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  let said = '';
  child.stderr.on('data', (text: Buffer) => {
    said = (said + text).slice(-LAST_CHARS);
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = readEvent(BulkEvent, line);
    if (event) onEvent(event);
  });
  const code = await endOf(child);
  signal.removeEventListener('abort', stop);
  return { code, said };
}

function endOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? EXIT.failed));
  });
}

interface Mark {
  shard: number;
  items: number;
  failed: number;
}

function createProgress(before: Mark[], plan: BulkPlan, { onProgress }: RunOptions) {
  const begun = performance.now();
  const done = new Map(before.map((mark) => [mark.shard, mark]));
  const running = new Map<number, { items: number; frames: number }>();
  const sum = (counts: number[]) => counts.reduce((total, each) => total + each, 0);
  const count = () => sum([...done.values(), ...running.values()].map(({ items }) => items));
  const itemsBefore = count();
  const shardsBefore = done.size;

  /** By items where they are counted, else by shards. */
  function secondsLeft(seconds: number, items: number): number | null {
    const [made, left] =
      plan.items === null
        ? [done.size - shardsBefore, plan.shards - done.size]
        : [items - itemsBefore, plan.items - items];
    return made > 0 ? (Math.max(0, left) * seconds) / made : null;
  }

  return {
    note(event: BulkEvent): void {
      if (event.event === 'job' || event.event === 'planned') return;
      if (event.event === 'progress') running.set(event.shard, event);
      else {
        running.delete(event.shard);
        done.set(event.shard, event);
      }
      const seconds = (performance.now() - begun) / 1000;
      const items = count();
      onProgress?.({
        event: 'job',
        job: plan.job,
        shards: plan.shards,
        shards_done: done.size,
        items: plan.items,
        items_done: items,
        items_failed: sum([...done.values()].map(({ failed }) => failed)),
        frames_running: sum([...running.values()].map(({ frames }) => frames)),
        seconds,
        seconds_left: secondsLeft(seconds, items),
      });
    },
  };
}
