// `npm start`: whoever gets the signal, nothing stays behind; what cannot be served is refused.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { alive, commandOf, treeOf } from '../../support/process-tree.ts';
import { publish, readModel } from '../../support/registry.ts';
import { secondModel, VERSION } from '../../support/second-model.ts';

const ROOT = join(import.meta.dirname, '../../..');
let started: number[] = [];
afterEach(() => {
  for (const pid of alive(started)) process.kill(pid, 'SIGKILL');
});

interface Started {
  child: ChildProcess;
  port: number;
}

/** npm, its shell, the server, workerd, the encoder: resolves when the model is ready. */
const npmStart = (): Promise<Started> => start('npm', ['start', '--silent', '--', '--port', '0']);

/** Without npm, whose own end would hide the server's. */
const serverStart = (env: Record<string, string>, words: string[] = []): Promise<Started> =>
  start(process.execPath, ['api/dev/serve.ts', '--port', '0', ...words], env);

async function start(command: string, words: string[], env = {}): Promise<Started> {
  const child = spawn(command, words, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    // A signal for npm is for npm alone, as from a service manager.
    detached: true,
  });
  const port = await new Promise<number>((ready, fail) => {
    child.once('exit', (code) => fail(new Error(`${command} ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const url = line.match(/ is ready on (http:\S+)$/)?.[1];
      if (url) ready(Number(new URL(url).port));
    });
  });
  child.removeAllListeners('exit');
  started = treeOf(child.pid ?? 0);
  return { child, port };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once('error', () => done(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => done(true)));
  });
}

const running = (name: string): number | undefined => started.find((pid) => commandOf(pid).includes(name));

async function nothingIsLeft(port: number): Promise<void> {
  await expect.poll(() => alive(started).map(commandOf)).toEqual([]);
  await expect.poll(() => isFree(port)).toBe(true);
}

test.each(['SIGTERM', 'SIGHUP', 'SIGKILL'] as const)('%s for npm alone ends all of it', async (signal) => {
  const { child: npm, port } = await npmStart();
  expect(running('workerd')).toBeDefined();
  expect(running('encoder/hosts/server.ts')).toBeDefined();
  npm.kill(signal);
  await nothingIsLeft(port);
});

test('Ctrl-C, which a terminal sends to every process, ends all of it', async () => {
  const { child: npm, port } = await npmStart();
  process.kill(-(npm.pid ?? 0), 'SIGINT');
  await nothingIsLeft(port);
});

test('a signal for the server alone ends all of it', async () => {
  const { port } = await npmStart();
  process.kill(serverOf(started), 'SIGHUP');
  await nothingIsLeft(port);
});

test('a killed server leaves neither workerd nor the encoder', async () => {
  const { port } = await npmStart();
  process.kill(serverOf(started), 'SIGKILL');
  await nothingIsLeft(port);
});

/** A file that a client sends beforehand, as photos of a job are. */
async function upload(port: number): Promise<void> {
  const file = Buffer.from('what is kept until the service ends');
  const asked = { digest: `sha256:${createHash('sha256').update(file).digest('hex')}`, bytes: file.length };
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/uploads`, {
    method: 'POST',
    headers,
    body: JSON.stringify(asked),
  });
  const place = (await answer.json()) as { url: string; headers: Record<string, string> };
  expect((await fetch(place.url, { method: 'PUT', body: file, headers: place.headers })).status).toBe(200);
}

test.each([
  ['SIGTERM for the server', 'SIGTERM', 1],
  ['Ctrl-C in a terminal', 'SIGINT', -1],
] as const)('%s ends it in order: code 0, and nothing that was sent is left on the disk', async (_, signal, sign) => {
  const folder = mkdtempSync(join(tmpdir(), 'serve-'));
  const { child, port } = await serverStart({ TMPDIR: folder });
  await upload(port);
  expect(readdirSync(folder)).not.toEqual([]);
  process.kill(sign * (child.pid ?? 0), signal);
  expect(await once(child, 'exit')).toEqual([0, null]);
  await nothingIsLeft(port);
  expect(readdirSync(folder)).toEqual([]);
});

test('a second Ctrl-C ends what does not come to its end, and leaves as little', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'serve-'));
  const { child, port } = await serverStart({ TMPDIR: folder });
  await upload(port);
  const encoder = running('encoder/hosts/server.ts') ?? 0;
  process.kill(encoder, 'SIGSTOP');
  process.kill(-(child.pid ?? 0), 'SIGINT');
  await new Promise((done) => setTimeout(done, 1500));
  expect(child.exitCode).toBeNull();
  process.kill(-(child.pid ?? 0), 'SIGINT');
  expect(await once(child, 'exit')).toEqual([1, null]);
  process.kill(encoder, 'SIGCONT');
  await nothingIsLeft(port);
  expect(readdirSync(folder)).toEqual([]);
});

function serverOf(pids: readonly number[]): number {
  const server = pids.find((pid) => /^\S*node \S*serve\.ts/.test(commandOf(pid)));
  if (server === undefined) throw new Error(`there is no server among ${pids.map(commandOf)}`);
  return server;
}

describe('a folder of a model', () => {
  const folder = mkdtempSync(join(tmpdir(), 'damaged '));
  const model = join(folder, 'model');
  beforeAll(() => cpSync(EMBEDDED_MODEL, model, { recursive: true }));

  test.each<[string, string, (file: string) => void, RegExp]>([
    [
      'an empty manifest',
      'manifest.json',
      (file) => writeFileSync(file, '{}'),
      /manifest\.json breaks the contract at /,
    ],
    ['half a manifest', 'manifest.json', (file) => truncateSync(file, 900), /manifest\.json is not JSON: /],
    ['no manifest', 'manifest.json', (file) => rmSync(file), /holds no model \(manifest\.json is missing\)/],
    ['no image tower', 'image.onnx', (file) => rmSync(file), /names image\.onnx, and there is no /],
    ['a damaged image tower', 'image.onnx', (file) => appendFileSync(file, '!'), /is not the image\.onnx that the /],
    ['a damaged text tower', 'text.onnx', (file) => appendFileSync(file, '!'), /is not the text\.onnx that the /],
  ])('that has %s is refused in a sentence, before anything is started', (_, name, damage, sentence) => {
    damage(join(model, name));
    const { status, stdout, stderr } = refusedStart(['--model', model]);
    cpSync(join(EMBEDDED_MODEL, name), join(model, name));
    expect({ status, stdout, lines: stderr.trim().split('\n') }).toEqual({
      status: 2,
      stdout: '',
      lines: [expect.stringMatching(sentence)],
    });
  });
});

describe('the registry', () => {
  const folder = mkdtempSync(join(tmpdir(), 'registry-'));
  const uri = toFileUri(folder);
  beforeAll(async () => void (await publish(openStore(uri), secondModel(await readModel(EMBEDDED_MODEL)))));

  test.each([
    ['of the variable that all commands share', { MODEL_REGISTRY: uri }, []],
    ['of the option, before the variable', { MODEL_REGISTRY: 's3://models' }, ['--registry', uri]],
  ])('%s is followed', async (_, env, words) => {
    const { child, port } = await serverStart(env, words);
    const version = async () => (await (await fetch(`http://127.0.0.1:${port}/v1/models`)).json()).data[0].version;
    await expect.poll(version, { timeout: 20_000 }).toBe(VERSION);
    child.kill('SIGTERM');
    await nothingIsLeft(port);
  });

  test.each<[string[], Record<string, string>, string]>([
    [['--registry', 's3://models'], {}, '--registry is s3://models, and'],
    [[], { MODEL_REGISTRY: 's3://models' }, '$MODEL_REGISTRY, which --registry goes before, is s3://models, and'],
    [['--jobs', 's3://jobs'], {}, '--jobs is s3://jobs, and'],
    [['--keys', 'https://keys'], {}, '--keys is https://keys, and'],
    [['--keys', import.meta.dirname], {}, `--keys is ${import.meta.dirname}, a folder: name a file`],
    [['--model', import.meta.filename], {}, `--model is ${import.meta.filename}, a file: name a folder`],
    [['--job-source', import.meta.filename], {}, `--job-source is ${import.meta.filename}, a file: name a folder`],
    [['--jobs', import.meta.filename], {}, `--jobs is ${import.meta.filename}, a file: name a folder`],
  ])('or another place that is not a folder of this machine is refused: %j %j', (words, env, said) => {
    const { status, stderr } = refusedStart(words, env);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(said) });
  });
});

/** What is expected to be refused; one that starts all the same is ended. */
function refusedStart(words: string[], env = {}) {
  return spawnSync(process.execPath, ['api/dev/serve.ts', '--port', '0', ...words], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  });
}
