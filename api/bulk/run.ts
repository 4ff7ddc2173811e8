// Runs the shards of a bulk job as processes of this machine. A process that dies is started again; no shard is lost.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { BulkPlan } from '../../contracts/src/bulk/job.ts';
import { BulkEvent, readEvent } from '../../contracts/src/events.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { JobFolder } from './service/folder.ts';

export interface RunOptions {
  /** Processes, each of which takes every Nth shard, N of them. */
  workers: number;
  /** The host that encodes shards, and what it is told beside the job. */
  host: { file: string; words: string[] };
  signal: AbortSignal;
  onProgress?: ((progress: Extract<BulkEvent, { event: 'job' }>) => void) | undefined;
}

/** Times that a process may die without having finished a shard in between. */
const DEATHS = 3;
/**
 * V8 lets new objects fill 32 MiB three times over before it frees those that are unused. Nearly all of them are: with a smaller
 * space, memory is flat from the first shard on, and nothing is slower.
 */
const NODE_OPTIONS = ['--max-semi-space-size=4'];
/** What a process said last, which tells why it died. */
const LAST_CHARS = 2000;

/** True when every shard is finished, false when it was stopped. Throws where a shard cannot be finished. */
export async function runShards(folder: JobFolder, plan: BulkPlan, options: RunOptions): Promise<boolean> {
  const progress = createProgress(await folder.allDone(), plan, options);
  const workers = Math.min(options.workers, plan.shards);
  await runLanes(lanesOf({ first: 0, every: 1 }, workers), { ...options, uri: folder.uri, onEvent: progress.note });
  // Also where a stop came after the last mark.
  return (await folder.countDone()) >= plan.shards;
}

/** Shards of a job: `first`, `first + every`, `first + 2 every`, … */
export interface Lane {
  first: number;
  every: number;
}

/** A lane's shards dealt to that many processes, one lane each. */
export function lanesOf({ first, every }: Lane, workers: number): Lane[] {
  return Array.from({ length: workers }, (_, worker) => ({ first: first + every * worker, every: every * workers }));
}

export interface LaneOptions extends Pick<RunOptions, 'host' | 'signal'> {
  /** Of the job's folder. */
  uri: string;
  onEvent(event: BulkEvent): void;
  /** Told of a process that is started again, and what it said last. */
  onDeath?: ((lane: Lane, code: number | NodeJS.Signals, said: string) => void) | undefined;
}

/** A process that died each time that it was started. */
export class ProcessDied extends Error {
  readonly code: number | NodeJS.Signals;
  constructor(code: number | NodeJS.Signals, said: string) {
    super(
      `a process died ${DEATHS + 1} times at the same shard, last with ${code}: ${said.trim() || 'it said nothing'}`,
    );
    this.code = code;
  }
}

/** A host whose processes died says what they said last: where it was itself when it heard of that helps nobody. */
export function inWords<Line>(main: (line: Line) => Promise<number>): (line: Line) => Promise<number> {
  return (line) =>
    main(line).catch((error: unknown) => {
      if (!(error instanceof ProcessDied)) throw error;
      console.error(error.message);
      return EXIT.failed;
    });
}

/** Each lane in a process of its own. False where one was stopped before its shards were finished; where one cannot go on, the others are stopped. */
export async function runLanes(lanes: Lane[], options: LaneOptions): Promise<boolean> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const running = lanes.map((lane) =>
    runLane(lane, { ...options, signal }).catch((error: unknown) => {
      stop.abort();
      throw error;
    }),
  );
  const ended = await Promise.allSettled(running);
  for (const lane of ended) if (lane.status === 'rejected') throw lane.reason;
  return ended.every((lane) => lane.status === 'fulfilled' && lane.value);
}

/** Until its shards are finished, or it is stopped: false. */
async function runLane(lane: Lane, options: LaneOptions): Promise<boolean> {
  let deaths = 0;
  // A process tells of every shard of its lane that is done, also of those that one before it has finished.
  const finished = new Set<number>();
  while (!options.signal.aborted) {
    const before = finished.size;
    const { code, said } = await runProcess(lane, {
      ...options,
      onEvent(event) {
        if (event.event === 'done') finished.add(event.shard);
        options.onEvent(event);
      },
    });
    if (code === EXIT.ok) return true;
    // Stopped, or nothing of the job is wanted any more.
    if (code === EXIT.refused || options.signal.aborted) return false;
    if (code === EXIT.usage) throw new UserError(said.trim());
    deaths = finished.size > before ? 1 : deaths + 1;
    if (deaths > DEATHS) throw new ProcessDied(code, said);
    options.onDeath?.(lane, code, said);
  }
  return false;
}

async function runProcess({ first, every }: Lane, { uri, host, signal, onEvent }: LaneOptions) {
  // Its own process group: Ctrl-C reaches this process, which ends all of them in order.
  const words = [...NODE_OPTIONS, host.file, uri, '--lane', `${first}/${every}`, ...host.words];
  const child = spawn(process.execPath, words, {
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
