// Every command: --help, --version, and one sentence with exit code 2 for whatever it does not take.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { readCommandLine } from '../../../contracts/command/command-line.ts';
import { ON_DISK, UserError } from '../../../contracts/src/user-error.ts';

const ROOT = join(import.meta.dirname, '../../..');
const { name, version, scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  name: string;
  version: string;
  scripts: Record<string, string>;
};
/** Those that npm starts, and those that a container, a shell or another program starts. */
const COMMANDS = [
  ...Object.values(scripts).map((script) => script.match(/^node (\S+)$/)?.[1] ?? script),
  'api/encoder/hosts/server.ts',
  'api/bulk/hosts/service.ts',
  'api/bulk/hosts/shard.ts',
  'trainer/control/plan/code-digest.ts',
];

function run(file: string, args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [file, ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (data: Buffer) => {
      out += data.toString();
    });
    child.stderr.on('data', (data: Buffer) => {
      err += data.toString();
    });
    child.on('error', fail).on('close', (code) => done({ code, out, err }));
  });
}

test.each(COMMANDS)('node %s', async (file) => {
  const [shown, help, option, words, empty] = await Promise.all([
    run(file, ['--version']),
    run(file, ['--help']),
    run(file, ['--nonsense']),
    run(file, ['one', 'two', 'three', 'four', 'five']),
    run(file, ['']),
  ]);
  expect(shown).toEqual({ code: 0, out: `${name} ${version}\n`, err: '' });
  expect(help).toEqual({ code: 0, out: expect.stringMatching(/^Usage: \S/), err: '' });
  const sentence = (text: RegExp) => ({ code: 2, out: '', err: expect.stringMatching(text) });
  expect(option).toEqual(sentence(/^.*--nonsense.*\n$/));
  expect(words).toEqual(sentence(/^.*(five|four|three|two|one).*\n$/));
  expect(empty).toEqual(sentence(/^Argument 1 is empty: .*\n$/));
});

describe('a command line', () => {
  const command = { help: '', options: { port: { type: 'string' }, json: { type: 'boolean' } }, words: 1 } as const;
  const read = (...argv: string[]) => readCommandLine(argv, command);

  test('is read as its options and words', () => {
    expect(read('a', '--port', '80', '--json')).toEqual({ values: { port: '80', json: true }, words: ['a'] });
    expect(read('--port=-1', '--', '--json')).toEqual({ values: { port: '-1' }, words: ['--json'] });
  });

  test.each([
    [['--prot', '80'], 'Unknown option --prot. Did you mean --port?'],
    [['--toString'], 'Unknown option --toString.'],
    [['-x'], 'Unknown option -x.'],
    [['--port'], '--port needs a value'],
    [['--port', '--json'], '--port needs a value'],
    [['--port', ''], '--port is empty: give it a value, or leave it out'],
    [['--port=', '--json'], '--port is empty: give it a value, or leave it out'],
    [['--port', ' '], '--port is empty'],
    [['--version=1'], '--version takes no value, not 1'],
    [['--json=yes'], '--json takes no value, not yes'],
    [['a', 'b'], 'Unexpected argument b'],
    [[''], 'Argument 1 is empty: give it a value, or leave it out'],
    [['a', '--', ' '], 'Argument 2 is empty'],
  ])('%j is refused', (argv, sentence) => {
    expect(() => read(...argv)).toThrow(UserError);
    expect(() => read(...argv)).toThrow(sentence);
  });
});

test.each([
  ['throw new UserError("no such model")', 2, /^no such model\n$/],
  ['throw new TypeError("a bug")', 1, /TypeError: a bug\n\s+at /],
])('%s', async (line, code, printed) => {
  const ended = await run(commandOf(line), []);
  expect(ended).toMatchObject({ code, out: '', err: expect.stringMatching(printed) });
});

describe('a command whose output nobody reads to its end', () => {
  const endless = 'for (;;) { console.log("a line"); await new Promise((next) => setImmediate(next)); }';

  async function unread(line: string): Promise<{ code: number | null; err: string }> {
    const child = spawn(process.execPath, [commandOf(line)], { stdio: ['ignore', 'pipe', 'pipe'] });
    let err = '';
    child.stderr.on('data', (data: Buffer) => {
      err += data.toString();
    });
    child.stdout.once('data', () => child.stdout.destroy());
    return new Promise((done) => child.on('close', (code) => done({ code, err })));
  }

  test('ends without a word', async () => {
    expect(await unread(endless)).toEqual({ code: 0, err: '' });
  });

  test('stops as by SIGTERM where it has something to save', async () => {
    const saved = "process.once('SIGTERM', () => { console.error('saved'); process.exit(75); });";
    expect(await unread(`${saved} ${endless}`)).toEqual({ code: 75, err: 'saved\n' });
  });

  test.each([
    ['', 1, ''],
    ["process.once('SIGTERM', () => { console.error('saved'); process.exit(75); });", 75, 'saved\n'],
  ])('ends in a sentence where the file that it goes to cannot grow: %s', (saved, status, err) => {
    const full = openSync('/dev/full', 'w');
    const ended = spawnSync(process.execPath, [commandOf(`${saved} ${endless}`)], {
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
      timeout: 20_000,
    });
    const sentence = `standard output: ${ON_DISK.ENOSPC} (ENOSPC)\n`;
    expect(ended).toMatchObject({ status, stderr: `${sentence}${err}` });
  });

  // Python has pseudo-terminals, Node has none.
  test('saves when its terminal is closed, though nothing can be shown there any more', () => {
    const saved =
      "process.once('SIGTERM', () => { writeFileSync(process.argv[1] + '.saved', ''); process.exit(75); });";
    const hung = "process.on('SIGHUP', () => {});";
    const file = commandOf(`const { writeFileSync } = await import('node:fs'); ${saved} ${hung} ${endless}`);
    const terminal = `import os, pty, sys
pid, screen = pty.fork()
if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
os.read(screen, 1)
os.close(screen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
    const { status } = spawnSync('python3', ['-c', terminal, process.execPath, file], { timeout: 20_000 });
    expect(status).toBe(75);
    expect(existsSync(`${file}.saved`)).toBe(true);
  });
});

test('what the disk forbids is a sentence with the place, and a fault of ours keeps its stack', async () => {
  const ended = async (line: string) => {
    const { status, stderr } = spawnSync(process.execPath, [commandOf(line)], { encoding: 'utf8' });
    return { status, stderr };
  };
  const fs = "const fs = await import('node:fs');";
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-disk-'));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  expect(await ended(`${fs} fs.mkdirSync(${JSON.stringify(join(file, 'runs'))}, { recursive: true });`)).toEqual({
    status: 1,
    stderr: `${join(file, 'runs')}: a file is where a folder is needed (ENOTDIR)\n`,
  });
  expect(await ended(`${fs} fs.writeFileSync(${JSON.stringify(folder)}, '');`)).toEqual({
    status: 1,
    stderr: `${folder}: a folder is where a file is needed (EISDIR)\n`,
  });
  const fault = await ended(`${fs} fs.readFileSync(${JSON.stringify(join(folder, 'none'))});`);
  expect(fault.stderr).toMatch(/ENOENT[\s\S]*at .*command\.mjs/);
});

/** The file of a command that stays alive and runs a line. */
function commandOf(line: string): string {
  const contracts = pathToFileURL(join(ROOT, 'contracts')).href;
  const file = join(mkdtempSync(join(tmpdir(), 'edge-clip-command-')), 'command.mjs');
  writeFileSync(
    file,
    `import { runMain } from '${contracts}/command/command-line.ts';
import { UserError } from '${contracts}/src/user-error.ts';
setInterval(() => {}, 1000);
await runMain(async () => { ${line} });`,
  );
  return file;
}
