// A process that holds one client: cases go in as lines of JSON, answers come out as lines of JSON.
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Answer, CaseName, Material } from './cases.ts';
import type { Client } from './client.ts';

/** What a client is told of a case. */
export interface Task extends Material {
  case: CaseName;
  url: string;
  key: string;
  /** Of the service, or one that does not exist. */
  model: string;
  lines: readonly string[];
  vector: string;
}

export interface Child {
  ask(task: Task): Promise<Answer>;
  stop(): void;
}

/** Importing a library may take long on a busy machine. */
const CASE_MS = 120_000;
/** Answers begin with this, so that what a library prints is not taken for one. */
const MARK = '@@';

/** Libraries that call home find no way there, and say so at once. */
const NO_NETWORK = {
  HTTP_PROXY: 'http://127.0.0.1:9',
  HTTPS_PROXY: 'http://127.0.0.1:9',
  NO_PROXY: '127.0.0.1',
  NODE_USE_ENV_PROXY: '1',
  DO_NOT_TRACK: '1',
  ANONYMIZED_TELEMETRY: 'False',
  HAYSTACK_TELEMETRY_ENABLED: 'False',
  HF_HUB_DISABLE_TELEMETRY: '1',
  LITELLM_LOCAL_MODEL_COST_MAP: 'True',
};

export function startChild(command: readonly string[], client: Client, options: { cwd: string; home: string }): Child {
  const [program = '', ...args] = command;
  const lowerCase = Object.fromEntries(Object.entries(NO_NETWORK).map(([name, value]) => [name.toLowerCase(), value]));
  const process = spawn(program, [...args, client.family, client.adapter], {
    cwd: options.cwd,
    env: { PATH: globalThis.process.env.PATH, HOME: options.home, ...NO_NETWORK, ...lowerCase },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  return { ask: (task) => askProcess(process, task), stop: () => void process.kill('SIGKILL') };
}

function askProcess(process: ChildProcess, task: Task): Promise<Answer> {
  const { stdin, stdout, stderr } = process;
  if (!stdin || !stdout || !stderr) throw new Error('the process has no pipes');
  return new Promise((resolve) => {
    let problem = '';
    const lines = createInterface({ input: stdout });
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      lines.close();
      stderr.off('data', keep);
      process.off('exit', onExit);
      resolve(answer);
    };
    const keep = (chunk: Buffer): void => {
      problem = `${problem}${chunk}`.slice(-2000);
    };
    const onExit = (): void => end({ error: `the process ended: ${problem.trim()}` });
    const timer = setTimeout(() => {
      process.kill('SIGKILL');
      end({ error: `no answer after ${CASE_MS / 1000} s: ${problem.trim()}` });
    }, CASE_MS);
    lines.on('line', (line) => {
      if (line.startsWith(MARK)) end(JSON.parse(line.slice(MARK.length)) as Answer);
    });
    stderr.on('data', keep);
    process.on('exit', onExit);
    if (process.exitCode !== null || process.signalCode !== null) onExit();
    else stdin.write(`${JSON.stringify(task)}\n`);
  });
}
