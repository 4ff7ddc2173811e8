// The encoder's image, built by its Dockerfile's own lines for this machine's processor: the handler answers as the
// service in the repository does, from the files that the image holds and no others.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { FunctionUrlReply } from '../../api/encoder/hosts/lambda.ts';
import { openService } from '../../api/encoder/hosts/service.ts';
import { respond } from '../../api/encoder/http.ts';
import { EncodeResponse } from '../../contracts/src/api/encode.ts';
import { BulkResult } from '../../contracts/src/bulk/lines.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { filesBelow, lastOf, ROOT, readDockerfile, replay } from './dockerfile.ts';
import { replayEncoder } from './encoder-files.ts';

const MODEL = join(ROOT, 'api/model');
const IMAGES = ['api/encoder/Dockerfile', 'api/encoder/gpu.Dockerfile'];
const photo = (name: string) =>
  readFileSync(join(ROOT, 'contracts/vectors/preprocess/images', name)).toString('base64');
const { space_id } = ModelManifest.parse(JSON.parse(readFileSync(join(MODEL, 'manifest.json'), 'utf8')));

/** Runs the handler once in a process that has nothing but the image's files, as the runtime loads it: by `.mjs`. */
async function invoke(task: string, event: object, env: Record<string, string> = {}) {
  const program = `import { handler } from ${JSON.stringify(join(task, 'encoder/hosts/lambda.mjs'))};
    let text = ''; for await (const part of process.stdin) text += part;
    process.stderr.write(JSON.stringify(await handler(JSON.parse(text)))); process.exit(0);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { cwd: '/', env });
  let [out, errors] = ['', ''];
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  child.stdin.end(JSON.stringify(event));
  const code = await new Promise((done) => child.once('close', done));
  if (code !== 0) throw new Error(`the handler's process ended with ${code}: ${errors}`);
  return { reply: JSON.parse(errors) as FunctionUrlReply, out };
}
/** An image and a text, a shard each, as the children of an array job have them. */
function encodesShards(task: string): void {
  const output = plannedShards();
  for (const [shard, custom_id] of ['a', 'b'].entries()) {
    expect(runShard(task, output, shard)).toEqual({ status: 0, stderr: '' });
    const line = BulkResult.parse(JSON.parse(readFileSync(join(output, `part-000${shard}.jsonl`), 'utf8')));
    expect(line).toMatchObject({ item: 0, custom_id, space_id });
  }
}

function plannedShards(): string {
  const [input, output] = [mkdtempSync(join(tmpdir(), 'in-')), mkdtempSync(join(tmpdir(), 'out-'))];
  const lines = [
    { custom_id: 'a', image: photo('wide.png') },
    { custom_id: 'b', text: 'a dog in snow' },
  ];
  writeFileSync(join(input, 'lines.jsonl'), lines.map((line) => JSON.stringify(line)).join('\n'));
  const encode = join(ROOT, 'api/bulk/hosts/encode.ts');
  const words = ['--plan', '--shard-items', '1', '--format', 'jsonl,parquet,npy,safetensors'];
  execFileSync(process.execPath, [encode, join(input, 'lines.jsonl'), output, ...words]);
  return output;
}

function runShard(task: string, output: string, shard: number, env: Record<string, string> = {}) {
  const { status, stderr } = spawnSync(process.execPath, ['bulk/hosts/shard.mjs', `file://${output}`], {
    cwd: task,
    env: { ...env, AWS_BATCH_JOB_ARRAY_INDEX: String(shard), AWS_BATCH_JOB_ARRAY_SIZE: '2' },
    encoding: 'utf8',
  });
  return { status, stderr };
}

/** What either image holds besides packages and the model. */
const PROGRAMS = [
  'bulk/hosts/shard.mjs',
  'encoder/hosts/lambda.mjs',
  'encoder/pixels/resize.wasm',
  'text/wasm/encoder.wasm',
];
const event = (method: string, rawPath: string, body?: string) => ({
  rawPath,
  headers: { 'content-type': 'application/json' },
  requestContext: { requestId: 'one', http: { method } },
  ...(body === undefined ? {} : { body: Buffer.from(body).toString('base64') }),
  isBase64Encoded: body !== undefined,
});

describe.runIf(process.platform === 'linux')('the image (its native packages are those of Linux)', () => {
  let top = '';
  let task = '';
  beforeAll(() => {
    ({ top, task } = replayEncoder());
  });
  afterAll(() => rmSync(top, { recursive: true, force: true }));

  test('holds the bundles, the model and native packages of one platform only', () => {
    const files = filesBelow(task);
    expect(files.filter((file) => !/^(node_modules|model)\//.test(file))).toEqual(PROGRAMS);
    expect(files.filter((file) => file.startsWith('model/'))).toEqual(filesBelow(MODEL).map((file) => `model/${file}`));
    const natives = files.filter((file) => /\.(node|dll|dylib|so(\.\d+)*)$/.test(file));
    expect(natives.length).toBeGreaterThanOrEqual(4);
    for (const file of natives) expect(file).toContain(process.arch);
  });

  test('has the programs that read videos, in a folder of the PATH of its base', () => {
    expect(filesBelow(join(top, 'final', 'usr/local/bin'))).toEqual(['ffmpeg', 'ffprobe']);
  });

  test('the handler answers as the local service does', async () => {
    const body = JSON.stringify({ space_id, images: [photo('wide.png'), 'AAAA', photo('tall.jpg')] });
    const { reply } = await invoke(task, event('POST', '/encode', body));
    const service = await openService({ model: MODEL });
    const local = await respond(service, {
      method: 'POST',
      path: '/encode',
      contentType: 'application/json',
      body: Buffer.from(body),
    });
    await service.close();
    expect(reply.statusCode).toBe(200);
    expect(EncodeResponse.parse(JSON.parse(reply.body))).toEqual(JSON.parse(local.body));
    expect(EncodeResponse.parse(JSON.parse(reply.body)).results.map(({ status }) => status)).toEqual([
      'ok',
      'failed',
      'ok',
    ]);
  });

  test('the SDK for the registry is in the bundle: without a bucket the embedded model is served', async () => {
    const { reply, out } = await invoke(task, event('GET', '/health'), {
      MODEL_REGISTRY: 's3://models',
      MODEL_REGISTRY_ENDPOINT: 'http://127.0.0.1:1',
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
    });
    expect(JSON.parse(reply.body)).toMatchObject({ status: 'ok', space_id });
    expect(out).toMatch(/registry_unreadable.*ECONNREFUSED/);
  });

  test('the same image encodes a shard on Batch, images and texts', () => encodesShards(task));
});

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('the image for machines with a GPU', () => {
  let top = '';
  let task = '';
  beforeAll(() => {
    top = replay(readDockerfile('api/encoder/gpu.Dockerfile'), (command, folder) => {
      // What comes over the network: packages, the half of onnxruntime that is CUDA's, and CUDA itself.
      if (command.startsWith('npm ci')) symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
      else if (command.startsWith('mkdir -p /opt/lib')) mkdirSync(join(folder, 'opt/lib'), { recursive: true });
      else return command;
      return null;
    });
    task = join(top, 'final', 'var', 'task');
  });
  afterAll(() => rmSync(top, { recursive: true, force: true }));

  test('holds the programs of the other image, the model and native packages, and no more', () => {
    const files = filesBelow(task).filter((file) => !file.startsWith('node_modules/'));
    const model = filesBelow(MODEL).map((file) => `model/${file}`);
    expect(files).toEqual([...PROGRAMS, ...model].sort());
    expect(filesBelow(join(top, 'final', 'usr/local/bin'))).toEqual(['ffmpeg', 'ffprobe']);
    const natives = filesBelow(task).filter((file) => /\.(node|so(\.\d+)*)$/.test(file));
    for (const file of natives) expect(file).toContain('x64');
  });

  test('its handler encodes as it is told: by the processor, and by nothing that there is not', async () => {
    const body = JSON.stringify({ space_id, images: [photo('wide.png')] });
    const { reply } = await invoke(task, event('POST', '/encode', body));
    expect(EncodeResponse.parse(JSON.parse(reply.body)).results.map(({ status }) => status)).toEqual(['ok']);
    const other = invoke(task, event('GET', '/health'), { ENCODER_PROVIDER: 'rocm' });
    await expect(other).rejects.toThrow('ENCODER_PROVIDER is rocm: there are cpu and cuda');
  });

  test('encodes shards on Batch, as the environment of their definition says: with CUDA, or not at all', () => {
    encodesShards(task);
    const output = plannedShards();
    expect(runShard(task, output, 0, { ENCODER_PROVIDER: 'rocm' })).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('ENCODER_PROVIDER is rocm: there are cpu and cuda'),
    });
    // No GPU is here: nothing is encoded by processors in its place.
    const { status } = runShard(task, output, 0, { ENCODER_PROVIDER: 'cuda' });
    expect([status, existsSync(join(output, 'part-0000.done.json'))]).toEqual([1, false]);
  });
});

test.each(IMAGES)('the entrypoint of %s leads a handler to the runtime and a bundle to node', (path) => {
  const final = readDockerfile(path).at(-1);
  if (final === undefined) throw new Error('there is no stage');
  const [command = '', flag = '', script = '', ...rest]: string[] = JSON.parse(
    lastOf(final, 'ENTRYPOINT')?.text ?? '[]',
  );
  const told = script.replace('/var/lang/bin/node', 'echo node').replace('/lambda-entrypoint.sh', 'echo runtime');
  const said = (...args: string[]) =>
    spawnSync(command, [flag, told, ...rest, ...args], { encoding: 'utf8' }).stdout.trim();
  expect(said(...JSON.parse(lastOf(final, 'CMD')?.text ?? '[]'))).toBe('runtime encoder/hosts/lambda.handler');
  expect(said('bulk/hosts/shard.mjs', 's3://in put')).toBe('node bulk/hosts/shard.mjs s3://in put');
});

test('the lockfile has the native packages for the image’s platform', () => {
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  for (const name of ['@img/sharp-linux-arm64', '@img/sharp-libvips-linux-arm64']) {
    expect(packages[`node_modules/${name}`]).toMatchObject({ os: ['linux'], cpu: ['arm64'], libc: ['glibc'] });
  }
});
