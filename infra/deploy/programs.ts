// Runs the programs that a deployment consists of (cdk, wrangler, docker): argument arrays, a log file, no shell.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { UserError } from '../../contracts/src/user-error.ts';

/** Programs of the repository, which run with its own Node, and one of the machine. */
const ENTRIES = {
  cdk: { of: 'aws-cdk/package.json', path: 'bin/cdk' },
  wrangler: { of: 'wrangler/package.json', path: 'bin/wrangler.js' },
} as const;
export type ProgramName = keyof typeof ENTRIES | 'docker' | 'node';

export interface ProgramOptions {
  /** Variables besides those of this process. */
  env?: Readonly<Record<string, string>>;
  /** Written to the program's standard input, such as a password: it appears in no list of processes. */
  input?: string;
  /** It prints a secret: the log does not get it. */
  secret?: boolean;
}

/** What a program printed on standard output. Throws a UserError with its last lines where it failed. */
export type RunProgram = (name: ProgramName, args: readonly string[], options?: ProgramOptions) => Promise<string>;

/** The last lines of a failed program: what cdk and wrangler say last is the reason. */
const TAIL_LINES = 15;

export interface ProgramContext {
  root: string;
  env: NodeJS.ProcessEnv;
  /** Everything that programs print, one after the other. */
  log: string;
  /** Each line as it is printed. */
  onLine(line: string): void;
  /** Ends the program that runs. */
  stop: AbortSignal;
}

export function programsOf({ root, env, log, onLine, stop }: ProgramContext): RunProgram {
  return async (name, args, { env: more = {}, input, secret = false } = {}) => {
    mkdirSync(dirname(log), { recursive: true });
    const file = createWriteStream(log, { flags: 'a' });
    file.write(`$ ${[name, ...args].join(' ')}\n`);
    const [command, ...first] = commandOf(name);
    const child = spawn(command, [...first, ...args], {
      cwd: root,
      env: { ...env, ...more, NO_COLOR: '1', FORCE_COLOR: '0' },
      stdio: ['pipe', 'pipe', 'pipe'],
      // A program that is interrupted cleans up first: SIGTERM, as a terminal's Ctrl-C does.
      signal: stop,
    });
    child.stdin.end(input ?? '');
    const printed: string[] = [];
    const tail: string[] = [];
    const read = (stream: NodeJS.ReadableStream, keep: (line: string) => void) =>
      createInterface({ input: stream }).on('line', (line) => {
        keep(line);
        tail.push(line);
        if (tail.length > TAIL_LINES) tail.shift();
        if (secret) return;
        file.write(`${line}\n`);
        onLine(line);
      });
    const [out, err] = [read(child.stdout, (line) => printed.push(line)), read(child.stderr, () => {})];
    const ends = [out, err].map((reader) => new Promise<void>((done) => reader.once('close', done)));
    const code = await new Promise<number | null>((done, fail) => {
      child.once('error', fail);
      child.once('close', done);
    }).catch((error: NodeJS.ErrnoException) => {
      if (stop.aborted) throw new UserError('interrupted: run the same command again, and it goes on here');
      throw new UserError(error.code === 'ENOENT' ? `there is no program ${command} on this machine` : error.message);
    });
    await Promise.all(ends);
    file.end();
    if (code === 0) return printed.join('\n');
    throw new UserError(
      `${name} ${args.slice(0, 2).join(' ')} ended with ${code}:\n${tail.map((line) => `  | ${line}`).join('\n')}\nThe whole log: ${log}`,
    );
  };
}

function commandOf(name: ProgramName): [string, ...string[]] {
  if (name === 'node') return [process.execPath];
  if (name === 'docker') return ['docker'];
  const { of, path } = ENTRIES[name];
  return [process.execPath, join(dirname(createRequire(import.meta.url).resolve(of)), path)];
}
