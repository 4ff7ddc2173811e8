// Making the trainer's virtual environment: in a folder that cannot be written, beside another installer, and stopped meanwhile.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { ensureVenv, requirements } from '../../../../trainer/control/local/venv.ts';

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'venv-'));

it('where no lock can be written says why and what to do, instead of waiting for another installer', async () => {
  const file = join(newFolder(), 'file');
  writeFileSync(file, '');
  const sentences: string[] = [];
  const failure = ensureVenv({
    env: process.env,
    folder: join(file, '.venv'),
    say: (sentence) => sentences.push(sentence),
  });
  await expect(failure).rejects.toThrow(UserError);
  await expect(failure).rejects.toThrow(/cannot be installed in .*ENOTDIR[\s\S]*TRAINER_PYTHON/);
  expect(sentences).toEqual([]);
});

// Permissions do not bind root.
it.skipIf(process.getuid?.() === 0)('says so of a read-only folder too', async () => {
  const folder = newFolder();
  chmodSync(folder, 0o500);
  await expect(ensureVenv({ env: process.env, folder: join(folder, '.venv'), say: () => {} })).rejects.toThrow(
    /EACCES/,
  );
});

it('waits for a process that installs, says so once, and uses what was installed', async () => {
  const folder = join(newFolder(), '.venv');
  const lock = `${folder}.lock`;
  writeFileSync(lock, JSON.stringify({ host: hostname(), command: { pid: process.pid, started: null } }));
  const sentences: string[] = [];
  const python = ensureVenv({ env: process.env, folder, say: (sentence) => sentences.push(sentence) });
  await expect.poll(() => sentences).toEqual(['Another process is installing trainer/.venv: waiting for it']);
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'bin/python'), '');
  const project = readFileSync(join(import.meta.dirname, '../../../../trainer/pyproject.toml'), 'utf8');
  const digest = createHash('sha256').update(requirements(project).join('\n')).digest('hex');
  writeFileSync(join(folder, 'installed.sha256'), digest);
  rmSync(lock);
  expect(await python).toBe(join(folder, 'bin/python'));
  expect(sentences).toHaveLength(1);
  expect(existsSync(lock)).toBe(false);
});

const CONTROL = pathToFileURL(join(import.meta.dirname, '../../../../trainer/control/')).href;

/** A Python whose pip starts a helper, as for a build, and unpacks for a minute; where PATH holds `quick`, it is done at once. */
function writePython(bin: string): void {
  const pip = '[ -e "$BIN/quick" ] && exit 0; sleep 60 & echo half > "$TMPDIR/half"; echo $$ $! > "$BIN/pids"; wait';
  const venv = 'mkdir -p "$3/bin"; ln -s "$BIN/python3.13" "$3/bin/python"';
  const cases = `-c) echo True;; -m) if [ "$2" = venv ]; then ${venv}; else ${pip}; fi;;`;
  writeFileSync(join(bin, 'python3.13'), `#!/bin/sh\nBIN="${bin}"\ncase "$1" in ${cases} esac\n`, { mode: 0o755 });
}

it.each(['SIGTERM', 'SIGINT'] as const)(
  '%s to the command alone ends pip, and the next run installs anew',
  async (signal) => {
    const folder = join(newFolder(), '.venv');
    const bin = newFolder();
    writePython(bin);
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` };
    const command = join(bin, 'command.ts');
    writeFileSync(
      command,
      `import { processContext } from '${CONTROL}cli/context.ts';
    import { runStoppable } from '${CONTROL}cli/interrupts.ts';
    import { ensureVenv } from '${CONTROL}local/venv.ts';
    const install = () => ensureVenv({ env: process.env, folder: ${JSON.stringify(folder)} }).then(() => 0);
    await runStoppable(install, processContext(process.env), { tells: 'document' });`,
    );
    const child = spawn(process.execPath, [command], { env, stdio: 'ignore' });
    const pids = join(bin, 'pids');
    await expect.poll(() => existsSync(pids) && readFileSync(pids, 'utf8'), { timeout: 20_000 }).toMatch(/\d+ \d+\n/);
    child.kill(signal);
    expect(await once(child, 'close')).toEqual([75, null]);
    const left = () => readFileSync(pids, 'utf8').trim().split(' ').map(Number).filter(isAtWork);
    await expect.poll(left).toEqual([]);
    writeFileSync(join(bin, 'quick'), '');
    const sentences: string[] = [];
    const python = await ensureVenv({ env, folder, say: (sentence) => sentences.push(sentence) });
    expect(python).toBe(join(folder, 'bin/python'));
    expect(sentences[0]).toMatch(/^Installing torch/);
    expect(existsSync(join(folder, 'tmp'))).toBe(false);
  },
);

/** A zombie is not: it waits for its parent to ask. */
function isAtWork(pid: number): boolean {
  const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ') Z';
  return !stat.slice(stat.lastIndexOf(')')).startsWith(') Z');
}
