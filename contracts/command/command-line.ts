// Reads the command line of every command: --help, --version, and one sentence for whatever it does not know.
import { type ParseArgsConfig, parseArgs } from 'node:util';
import packageJson from '../../package.json' with { type: 'json' };
import { EXIT } from '../src/exit-codes.ts';
import { editDistance, ON_DISK, UserError } from '../src/user-error.ts';
import { isHeard } from './stop-at-once.ts';

type Options = NonNullable<ParseArgsConfig['options']>;

export interface Command<T extends Options> {
  /** The text of --help. */
  help: string;
  /** As node:util's parseArgs takes them; --help and --version are added to every command. */
  options: T;
  /** The most arguments that are not options (default 0). */
  words?: number;
}

type Parsed<T extends Options> = ReturnType<typeof parseArgs<{ options: T; allowPositionals: true; args: string[] }>>;

export interface CommandLine<T extends Options> {
  values: Parsed<T>['values'];
  words: string[];
}

/** Runs a command to its end: answers --help and --version, calls `main` with the rest, sets the exit code. */
export async function runCommand<T extends Options>(
  command: Command<T>,
  main: (line: CommandLine<T>) => number | undefined | Promise<number | undefined>,
  argv: readonly string[] = process.argv.slice(2),
): Promise<void> {
  await runMain(() => {
    const answer = standardAnswer(argv, command.help);
    if (answer === undefined) return main(readCommandLine(argv, command));
    process.stdout.write(answer);
    return 0;
  });
}

/** Calls `main` and sets the exit code: a UserError is printed as its sentence, anything else with its stack. */
export async function runMain(main: () => number | undefined | Promise<number | undefined>): Promise<void> {
  process.stdout.on('error', stopUnread);
  // Of what cannot be said there nobody can be told.
  process.stderr.on('error', () => {});
  try {
    const code = await main();
    if (code !== undefined) process.exitCode = code;
  } catch (error) {
    const isRefused = error instanceof UserError;
    console.error(isRefused ? error.message : (sentenceOfDisk(error) ?? error));
    // Whatever `main` has opened must not keep the process alive.
    process.exit(isRefused ? EXIT.usage : EXIT.failed);
  }
}

/** Undefined for what is no error of the disk: it is a fault of ours and keeps its stack. */
export function sentenceOfDisk(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  const said = ON_DISK[String(error.code)];
  const place = 'path' in error ? String(error.path) : `${error.syscall}`;
  return said === undefined ? undefined : `${place}: ${said} (${error.code})`;
}

let isUnread = false;

/**
 * The reader of the output has seen enough (`| head`), the terminal was closed (EIO), or the file that it goes to cannot grow:
 * the command stops as by SIGTERM, or ends where it does not listen for that. All but the first is said.
 */
function stopUnread(error: NodeJS.ErrnoException): void {
  if (isUnread) return;
  isUnread = true;
  const wanted = error.code === 'EPIPE';
  const said = ON_DISK[String(error.code)] ?? (error.code === 'EIO' ? 'the terminal or disk is gone' : undefined);
  if (!wanted && said === undefined) throw error;
  if (!wanted) console.error(`standard output: ${said} (${error.code})`);
  if (!isHeard('SIGTERM')) process.exit(wanted ? EXIT.ok : EXIT.failed);
  process.kill(process.pid, 'SIGTERM');
}

/** The text that --help or --version asks for; undefined where the command line asks for neither. */
export function standardAnswer(argv: readonly string[], help: string): string | undefined {
  const end = argv.indexOf('--');
  const options = end < 0 ? argv : argv.slice(0, end);
  if (options.includes('--help') || options.includes('-h')) return `${help.trimEnd()}\n`;
  if (options.includes('--version')) return `${packageJson.name} ${packageJson.version}\n`;
  return undefined;
}

export interface Streams {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

/** A command of several words: its help, its work, and what a user or the disk forbids as a sentence, with `--json` as a document. */
export async function answerCommand(
  argv: readonly string[],
  { help, stdout, stderr }: Streams & { help: string },
  work: () => Promise<number>,
): Promise<number> {
  const answer = standardAnswer(argv, help);
  if (answer !== undefined) {
    stdout.write(answer);
    return EXIT.ok;
  }
  try {
    return await work();
  } catch (error) {
    const isRefused = error instanceof UserError;
    const said = isRefused ? error.message : sentenceOfDisk(error);
    if (said === undefined) throw error;
    if (argv.includes('--json')) stdout.write(`${JSON.stringify({ [isRefused ? 'refused' : 'failed']: said })}\n`);
    else stderr.write(`${said}\n`);
    return isRefused ? EXIT.usage : EXIT.failed;
  }
}

/** Options and words of `argv`; whatever the command does not take is a UserError that names it. */
export function readCommandLine<T extends Options>(argv: readonly string[], command: Command<T>): CommandLine<T> {
  const { words = 0 } = command;
  const options: Options = { ...command.options, help: { type: 'boolean' }, version: { type: 'boolean' } };
  const { values, positionals, tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const type = Object.hasOwn(options, name) ? options[name]?.type : undefined;
    if (type === undefined) throw new UserError(unknownOption(rawName, Object.keys(options)));
    if (type === 'boolean' && value !== undefined) throw new UserError(`${rawName} takes no value, not ${value}`);
    const isForgotten = value === undefined || (!inlineValue && value.length > 1 && value.startsWith('-'));
    if (type === 'string' && isForgotten) throw new UserError(`${rawName} needs a value. --help says which`);
    // Such as of a variable of the shell that is not set; as a path it would be the folder where the user stands.
    if (value?.trim() === '') throw new UserError(`${rawName} is empty: give it a value, or leave it out`);
  }
  const empty = positionals.findIndex((word) => word.trim() === '');
  if (empty >= 0) throw new UserError(`Argument ${empty + 1} is empty: give it a value, or leave it out`);
  const extra = positionals[words];
  if (extra !== undefined) {
    throw new UserError(`Unexpected argument ${extra}: ${mostWords(words)}. --help shows what can be given`);
  }
  // Every value was checked against `options` above, which is all that `strict` adds to this type.
  return { values: values as Parsed<T>['values'], words: positionals };
}

function mostWords(words: number): string {
  if (words === 0) return 'only options are taken here';
  return words === 1 ? 'one argument is taken' : `at most ${words} arguments are taken`;
}

function unknownOption(given: string, names: string[]): string {
  const allowed = Math.floor(given.length / 3);
  const [nearest] = names
    .map((name) => `--${name}`)
    .map((name) => ({ name, distance: editDistance(given, name, allowed) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((one, other) => one.distance - other.distance);
  const hint = nearest === undefined ? '' : ` Did you mean ${nearest.name}?`;
  return `Unknown option ${given}.${hint} --help lists all options`;
}
