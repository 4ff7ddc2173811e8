// Making the trainer's virtual environment: a folder that cannot be written is an error at once, another installer is waited for.
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { ensureVenv, requirements } from '../../../../trainer/control/local/venv.ts';

const newFolder = (): string => mkdtempSync(join(tmpdir(), 'venv-'));

it('where no lock can be written says why and what to do, instead of waiting for another installer', async () => {
  const file = join(newFolder(), 'file');
  writeFileSync(file, '');
  const sentences: string[] = [];
  const failure = ensureVenv({ folder: join(file, '.venv'), say: (sentence) => sentences.push(sentence) });
  await expect(failure).rejects.toThrow(UserError);
  await expect(failure).rejects.toThrow(/cannot be installed in .*ENOTDIR[\s\S]*TRAINER_PYTHON/);
  expect(sentences).toEqual([]);
});

// Permissions do not bind root.
it.skipIf(process.getuid?.() === 0)('says so of a read-only folder too', async () => {
  const folder = newFolder();
  chmodSync(folder, 0o500);
  await expect(ensureVenv({ folder: join(folder, '.venv'), say: () => {} })).rejects.toThrow(/EACCES/);
});

it('waits for a process that installs, says so once, and uses what was installed', async () => {
  const folder = join(newFolder(), '.venv');
  const lock = `${folder}.lock`;
  writeFileSync(lock, JSON.stringify({ host: hostname(), command: { pid: process.pid, started: null } }));
  const sentences: string[] = [];
  const python = ensureVenv({ folder, say: (sentence) => sentences.push(sentence) });
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
