// Installs the clients' packages at their pinned versions into ignored folders, once per list of packages.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { UserError } from '../../contracts/src/user-error.ts';
import type { Client } from './client.ts';

const run = promisify(execFile);
const HERE = import.meta.dirname;
export const NODE_FOLDER = join(HERE, 'node');
export const PYTHON_FOLDER = join(HERE, 'python');

export function environmentOf({ environment = 'main' }: Client): string {
  return environment;
}

/** The version that is pinned, in whichever list the client's package is. */
export function versionOf(client: Client): string {
  if (client.language === 'node') {
    const { dependencies } = JSON.parse(readFileSync(join(NODE_FOLDER, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    return dependencies[client.package] ?? fail(client);
  }
  const pinned = readFileSync(requirements(environmentOf(client)), 'utf8').split('\n');
  const line = pinned.find((each) => each.startsWith(`${client.package}==`));
  return line?.split('==')[1] ?? fail(client);
}

function fail(client: Client): never {
  throw new Error(`${client.package} is pinned nowhere`);
}

/** The command that starts a process for the client, installed where it was not. */
export async function commandOf(client: Client, note: (what: string) => void): Promise<string[]> {
  if (client.language === 'node') {
    await installNode(note);
    return [process.execPath, join(NODE_FOLDER, 'main.js')];
  }
  const environment = environmentOf(client);
  await installPython(environment, note);
  return [pythonOf(environment), join(PYTHON_FOLDER, 'main.py')];
}

async function installNode(note: (what: string) => void): Promise<void> {
  const mark = join(NODE_FOLDER, 'node_modules/.installed');
  if (isInstalled(mark, [join(NODE_FOLDER, 'package-lock.json')])) return;
  note('installing the Node packages (about half a minute)');
  await attempt(() => run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: NODE_FOLDER }));
  markInstalled(mark, [join(NODE_FOLDER, 'package-lock.json')]);
}

async function installPython(environment: string, note: (what: string) => void): Promise<void> {
  const list = requirements(environment);
  const folder = join(PYTHON_FOLDER, '.venv', environment);
  const mark = join(folder, '.installed');
  if (isInstalled(mark, [list])) return;
  note(`installing the Python packages of ${environment} (up to a few minutes)`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(dirname(folder), { recursive: true });
  await attempt(() => run('python3', ['-m', 'venv', folder]));
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', list];
  await attempt(() => run(pythonOf(environment), install, { maxBuffer: 2 ** 26 }));
  markInstalled(mark, [list]);
}

async function attempt(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new UserError(`the packages cannot be installed: ${stderr.trim().slice(-1500) || message}`);
  }
}

function requirements(environment: string): string {
  return join(PYTHON_FOLDER, 'requirements', `${environment}.txt`);
}

function pythonOf(environment: string): string {
  return join(PYTHON_FOLDER, '.venv', environment, 'bin/python');
}

function digestOf(lists: readonly string[]): string {
  const hash = createHash('sha256');
  for (const list of lists) hash.update(readFileSync(list));
  return hash.digest('hex');
}

function isInstalled(mark: string, lists: readonly string[]): boolean {
  return existsSync(mark) && readFileSync(mark, 'utf8') === digestOf(lists);
}

function markInstalled(mark: string, lists: readonly string[]): void {
  writeFileSync(mark, digestOf(lists));
}
