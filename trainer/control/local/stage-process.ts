// Runs one stage as a process: `python -m stages.<stage> job.json`, watched until it ends.
import { createWriteStream, type WriteStream } from 'node:fs';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import type { StageName } from '../../../contracts/src/stages.ts';
import type { ProgressLine } from '../../../contracts/src/training/job.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { parseProgress } from '../run/progress.ts';
import { killGroup } from './process-group.ts';
import { startModule } from './python-module.ts';

const TAIL_LINES = 25;

export interface StageProcessOptions {
  stage: StageName;
  jobFile: string;
  logFile: string;
  python: string;
  /** Processes that train it together. */
  ranks: number;
  /** Folder that holds `stages` and `towers`; the working directory of the stage. */
  trainer: string;
  /** Folder of the Python package `contracts`. */
  contracts: string;
  env: NodeJS.ProcessEnv;
  /** Aborts: ask for a checkpoint (SIGTERM). */
  stop: AbortSignal;
  /** Aborts: end it at once (SIGKILL), with everything it started. */
  kill: AbortSignal;
  /** Where it throws, the stage is ended: nobody may run that the lock does not name. */
  onStart(pid: number): void;
  onProgress(line: ProgressLine): void;
}

/** How the process ended; `tail`: the last lines of its log. */
export type StageEnd =
  | { status: 'exited_0'; tail: string[] }
  | { status: 'interrupted'; lost: boolean }
  | { status: 'failed'; exit_code: number | null; signal: string | null; message: string; tail: string[] };

/** Starts the stage and resolves when it and everything it started has ended. Never rejects for a failing stage. */
export function runStageProcess(options: StageProcessOptions): Promise<StageEnd> {
  const { stage, ranks, jobFile, python, trainer, contracts, env, stop, kill, onStart, onProgress } = options;
  const module = `stages.${stage}`;
  const args =
    ranks === 1 ? ['-m', module, jobFile] : ['-m', 'engine.launch', '--processes', `${ranks}`, module, jobFile];
  const log = createLog(options.logFile);
  log.write(`---- ${new Date().toISOString()} ${python} ${args.join(' ')}`);
  const child = startModule({ python, args, trainer, contracts, env });
  const signalStage = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) child.kill(signal);
  };
  const onStop = (): void => signalStage('SIGTERM');
  const onKill = (): void => killGroup(child.pid);
  stop.addEventListener('abort', onStop);
  kill.addEventListener('abort', onKill);
  let refused: string | undefined;
  child.once('spawn', () => {
    try {
      if (child.pid !== undefined) onStart(child.pid);
    } catch (error) {
      refused = `ended before it began, because its process cannot be noted: ${reasonOf(error)}`;
      killGroup(child.pid);
    }
    if (stop.aborted) onStop();
    if (kill.aborted) onKill();
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const progress = parseProgress(line);
    if (progress === undefined) log.write(line);
    else onProgress(progress);
  });
  createInterface({ input: child.stderr }).on('line', (line) => log.write(line));
  // Helpers of the stage that outlive it would go on writing and keep the pipes open.
  child.once('exit', () => killGroup(child.pid));

  return new Promise((resolve) => {
    const end = async (result: StageEnd): Promise<void> => {
      stop.removeEventListener('abort', onStop);
      kill.removeEventListener('abort', onKill);
      await log.close();
      resolve(result);
    };
    child.once('error', (error) => {
      void end({
        status: 'failed',
        exit_code: null,
        signal: null,
        message: `cannot start ${python}: ${error.message}`,
        tail: [],
      });
    });
    child.once('close', (exit_code, signal) => {
      if (child.pid === undefined) return; // The event 'error' has ended it.
      if (refused !== undefined) void end({ status: 'failed', exit_code, signal, message: refused, tail: log.tail });
      else void end(endOf({ exit_code, signal, tail: log.tail, stopped: stop.aborted, killed: kill.aborted }));
    });
  });
}

interface ProcessExit {
  exit_code: number | null;
  signal: string | null;
  /** The last lines of the log. */
  tail: string[];
  stopped: boolean;
  killed: boolean;
}

function endOf({ exit_code, signal, tail, stopped, killed }: ProcessExit): StageEnd {
  if (exit_code === EXIT.ok) return { status: 'exited_0', tail };
  if (exit_code === EXIT.interrupted) return { status: 'interrupted', lost: false };
  // A SIGTERM that comes while Python still imports finds no handler yet: nothing was trained since the last checkpoint.
  // By another signal it ended before it could save, whoever sent it.
  if (signal === 'SIGTERM' || (signal !== null && (stopped || killed)))
    return { status: 'interrupted', lost: signal !== 'SIGTERM' };
  return { status: 'failed', exit_code, signal, message: advice({ exit_code, signal, tail }), tail };
}

/** The signal that ended a stage, or one of its processes: engine.launch then ends with 128 and its number, as a shell does. */
function signalOf({ exit_code, signal }: Pick<ProcessExit, 'exit_code' | 'signal'>): string | null {
  const [name] = Object.entries(constants.signals).find(([, number]) => number === (exit_code ?? 0) - 128) ?? [];
  return signal ?? name ?? null;
}

/** What happened and what to do about it, from the exit and the last lines of the log. */
function advice({ tail, ...exit }: Pick<ProcessExit, 'exit_code' | 'signal' | 'tail'>): string {
  const { exit_code } = exit;
  const signal = signalOf(exit);
  const text = tail.join('\n');
  if (signal === 'SIGKILL') {
    return 'killed by the system, most likely for memory: lower batch_size, micro_batch or batch_tokens in the recipe, or free memory';
  }
  if (signal === 'SIGBUS')
    return 'ended by SIGBUS, most likely because the disk is full: free some space, or choose another with --runs';
  if (signal !== null) return `ended by ${signal}`;
  if (/MemoryError|out of memory|can't allocate memory/i.test(text)) {
    return `exit ${exit_code}, out of memory: lower batch_size, micro_batch or batch_tokens in the recipe`;
  }
  if (/No space left on device/.test(text))
    return `exit ${exit_code}, the disk is full: free some space, or choose another with --runs`;
  if (/No module named '(?!engine|tasks|towers|stages|contracts)/.test(text)) {
    return `exit ${exit_code}, a Python module is missing: delete trainer/.venv to have it made again (or fix the interpreter in ${ENVARS.python})`;
  }
  return `exit ${exit_code}; the lines above say why`;
}

interface Log {
  write(line: string): void;
  close(): Promise<void>;
  /** The last lines of this attempt, as they stand now. */
  readonly tail: string[];
}

function createLog(file: string): Log {
  const stream: WriteStream = createWriteStream(file, { flags: 'a' });
  let problem: Error | undefined;
  // A full disk must not take the control plane down while the stage saves its checkpoint.
  stream.on('error', (error) => {
    problem = error;
  });
  const tail: string[] = [];
  return {
    tail,
    write(line) {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      if (problem === undefined) stream.write(`${line}\n`);
    },
    close() {
      return new Promise((resolve) => {
        if (problem !== undefined) resolve();
        else stream.end(() => resolve());
      });
    },
  };
}
