// The image encoder follows a registry: which spaces it serves, when it polls for others, and what it does without one.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { followTowers } from '../../../api/encoder/follow-towers.ts';
import { openService } from '../../../api/encoder/hosts/service.ts';
import { type HttpResponse, respond, type Service } from '../../../api/encoder/http.ts';
import { rollback } from '../../../api/registry/publish.ts';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { EncodeResponse } from '../../../contracts/src/api/encode.ts';
import { artefactKey } from '../../../contracts/src/keys.ts';
import { changed, damaging, digestOf, publish, readModel, type TestModel } from '../../support/registry.ts';
import { writeTinyImageModel } from '../../support/tiny-image-model.ts';

const IMAGE = readFileSync(new URL('../../../contracts/vectors/preprocess/images/wide.png', import.meta.url));
const { folder: embedded, manifest: form } = writeTinyImageModel();
/** The tiny tower in a space of its own: its pixels' mean is `number` eighths. */
const inSpace = (model: TestModel, number: number) =>
  changed(
    model,
    {
      version: String(number),
      space_id: digestOf(String(number)),
      image: { ...form.image, preprocess: { ...form.image.preprocess, mean: Array(3).fill(number / 8) } },
    },
    { unused: () => Buffer.alloc(0) },
  );
const [a, b, c] = await readModel(embedded).then((model) => [2, 3, 5].map((number) => inSpace(model, number)));
if (!a || !b || !c) throw new Error('three models are needed');
const spaceOf = ({ manifest }: TestModel) => manifest.space_id;

let folder: string;
let registry: ObjectStore;
let open: { close(): Promise<void> }[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'registry-'));
  registry = openStore(`file://${folder}`);
  open = [];
  vi.spyOn(console, 'log').mockImplementation(() => {});
});
afterEach(async () => {
  for (const service of open) await service.close();
  rmSync(folder, { recursive: true });
  vi.restoreAllMocks();
});

async function start(uri = `file://${folder}`): Promise<Service> {
  const service = await openService({ model: embedded, registry: uri, threads: 1 });
  open.push(service);
  return service;
}
const encode = (service: Service, space_id: string): Promise<HttpResponse> =>
  respond(service, {
    method: 'POST',
    path: '/encode',
    body: Buffer.from(JSON.stringify({ space_id, images: [IMAGE.toString('base64')] })),
  });
async function vectorOf(service: Service, model: TestModel): Promise<string> {
  const { status, body } = await encode(service, spaceOf(model));
  const [result] = status === 200 ? EncodeResponse.parse(JSON.parse(body)).results : [];
  return result?.status === 'ok' ? result.embedding : body;
}
const health = async (service: Service) =>
  JSON.parse((await respond(service, { method: 'GET', path: '/health', body: Buffer.alloc(0) })).body);
const codeOf = async (reply: Promise<HttpResponse>) => JSON.parse((await reply).body).code;
const logged = (event: string) => vi.mocked(console.log).mock.calls.filter(([line]) => String(line).includes(event));

describe('an unknown space makes it poll', () => {
  test('and what was just published is served, beside what was before, each with its own preprocessing', async () => {
    await publish(registry, a);
    const service = await start();
    expect(await health(service)).toMatchObject({ version: '2', space_id: spaceOf(a), spaces: [spaceOf(a)] });
    const before = await vectorOf(service, a);
    await publish(registry, b);
    const vector = await vectorOf(service, b);
    expect(vector).not.toBe(before);
    expect(await vectorOf(service, a)).toBe(before);
    expect(await health(service)).toMatchObject({ version: '3', spaces: [spaceOf(b), spaceOf(a)] });
    // Another process that knows nothing of the first one serves the same.
    expect(await vectorOf(await start(), b)).toBe(vector);
  });

  test('once for all who ask meanwhile, and no more than once a second', async () => {
    await publish(registry, a);
    const store = openStore(`file://${folder}`);
    const read = vi.spyOn(store, 'get');
    const towers = await followTowers({ embedded, name: 'tiny', registry: store, seconds: 60, threads: 1 });
    open.push(towers);
    read.mockClear();
    const began = performance.now();
    const found = await Promise.all(Array.from({ length: 20 }, () => towers.find(digestOf('nobody'))));
    expect(found).toEqual(Array(20).fill(undefined));
    expect(read.mock.calls.filter(([key]) => key.startsWith('models/'))).toHaveLength(1);
    await towers.find(digestOf('nobody else'));
    expect(performance.now() - began).toBeGreaterThan(990);
  });

  test('and a copy that has just begun serves the space before the current one too: not every Worker has moved', async () => {
    await publish(registry, a);
    await publish(registry, b);
    const service = await start();
    expect(await health(service)).toMatchObject({ spaces: [spaceOf(b)] });
    expect((await encode(service, spaceOf(a))).status).toBe(200);
    await rollback(registry, 'tiny', { reason: 'a test' });
    const later = await start();
    expect(await health(later)).toMatchObject({ spaces: [spaceOf(a)] });
    expect((await encode(later, spaceOf(b))).status).toBe(200);
  });

  test('and is refused where it is neither', async () => {
    for (const model of [a, b, c]) await publish(registry, model);
    expect(await codeOf(encode(await start(), spaceOf(a)))).toBe('space_mismatch');
  });
});

test('a damaged image tower is refused, once in the log, and the models before it go on', async () => {
  await publish(registry, a);
  const service = await start();
  const graph = changed(b, {}, { 'image.onnx': (bytes) => Buffer.concat([bytes, Buffer.from([0x32, 1, 0x78])]) });
  await publish(damaging(registry, artefactKey(graph.manifest.image.graph.file.digest)), graph);
  for (let i = 0; i < 2; i++) expect(await codeOf(encode(service, spaceOf(graph)))).toBe('space_mismatch');
  expect((await encode(service, spaceOf(a))).status).toBe(200);
  expect(logged('model_refused')).toHaveLength(1);
  expect(String(logged('model_refused')[0])).toContain('image.onnx has');
});

test('a new text side alone keeps the image tower that is open', async () => {
  await publish(registry, a);
  const service = await start();
  const tower = await service.towers.find(spaceOf(a));
  await publish(registry, changed(a, { version: '2.1' }));
  await service.towers.find(digestOf('unknown'));
  expect(await health(service)).toMatchObject({ version: '2.1', spaces: [spaceOf(a)] });
  expect(await service.towers.find(spaceOf(a))).toBe(tower);
});

test('what is neither current nor the one before is closed when it is not asked for', async () => {
  await publish(registry, a);
  const store = openStore(`file://${folder}`);
  const towers = await followTowers({ embedded, name: 'tiny', registry: store, seconds: 0.01, threads: 1, idleMs: 0 });
  open.push(towers);
  for (const model of [b, c]) {
    await publish(registry, model);
    expect(await towers.find(spaceOf(model))).toBeDefined();
  }
  expect(towers.manifests().map(({ version }) => version)).toEqual(['5', '3']);
  expect(await towers.find(spaceOf(a))).toBeUndefined();
});

test('a bucket behind an endpoint of its own is read as a folder is', async () => {
  await publish(registry, a);
  const asked: { path: string; checksum: unknown }[] = [];
  const s3 = createServer(async ({ url = '', headers }, response) => {
    const path = url.replace(/\?.*/, '');
    asked.push({ path, checksum: headers['x-amz-checksum-mode'] });
    const object = await registry.get(path.replace('/models-bucket/below/', ''));
    if (object) response.end(await object.bytes());
    else response.writeHead(404).end('<Error><Code>NoSuchKey</Code></Error>');
  });
  await new Promise<void>((listening) => s3.listen(0, '127.0.0.1', listening));
  vi.stubEnv('MODEL_REGISTRY_ENDPOINT', `http://127.0.0.1:${(s3.address() as AddressInfo).port}`);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'testing');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'testing');
  const service = await start('s3://models-bucket/below/');
  vi.unstubAllEnvs();
  expect((await encode(service, spaceOf(a))).status).toBe(200);
  expect(asked[0]).toEqual({ path: '/models-bucket/below/models/tiny/current.json', checksum: undefined });
  await publish(registry, b);
  expect((await encode(service, spaceOf(b))).status).toBe(200);
  s3.close();
});

describe('without a model in the registry it serves the embedded one', () => {
  test.each([
    ['where nothing was published', () => `file://${folder}`],
    ['where there is no folder', () => `file://${folder}/absent`],
    ['where the bucket cannot be reached', () => 's3://models'],
  ])('%s', async (_, uri) => {
    for (const [name, value] of Object.entries({
      MODEL_REGISTRY_ENDPOINT: 'http://127.0.0.1:1',
      AWS_ACCESS_KEY_ID: 'testing',
      AWS_SECRET_ACCESS_KEY: 'testing',
      AWS_MAX_ATTEMPTS: '1',
    })) {
      vi.stubEnv(name, value);
    }
    const service = await start(uri());
    vi.unstubAllEnvs();
    expect(await health(service)).toMatchObject({ model: 'tiny', version: '1', spaces: [form.space_id] });
    expect((await encode(service, form.space_id)).status).toBe(200);
  });

  test('and a registry that is none is a mistake that is said at once', async () => {
    await expect(start('https://example.com')).rejects.toThrow('write file:///FOLDER or s3://BUCKET');
  });
});

test('the Lambda function follows the registry that its environment names', async () => {
  await publish(registry, a);
  vi.stubEnv('CLIP_MODEL', embedded);
  vi.stubEnv('MODEL_REGISTRY', `file://${folder}`);
  const { handler } = await import('../../../api/encoder/hosts/lambda.ts');
  vi.unstubAllEnvs();
  const ask = (space_id: string) =>
    handler({
      rawPath: '/encode',
      headers: { 'content-type': 'application/json' },
      requestContext: { requestId: 'r-1', http: { method: 'POST' } },
      body: JSON.stringify({ space_id, images: [IMAGE.toString('base64')] }),
      isBase64Encoded: false,
    });
  expect(await ask(spaceOf(a))).toMatchObject({ statusCode: 200 });
  await publish(registry, b);
  expect(await ask(spaceOf(b))).toMatchObject({ statusCode: 200 });
});

test('the server follows the registry of its command line', async () => {
  await publish(registry, a);
  const server = join(import.meta.dirname, '../../../api/encoder/hosts/server.ts');
  const child = spawn(process.execPath, [server, '--model', embedded, '--registry', `file://${folder}`], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<number>((listening) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"listening"')) listening(JSON.parse(line).port);
    });
  });
  const reply = await (await fetch(`http://127.0.0.1:${port}/health`)).json();
  const ended = new Promise((end) => child.once('exit', end));
  child.kill('SIGTERM');
  expect(reply).toMatchObject({ version: '2', spaces: [spaceOf(a)] });
  expect(await ended).toBe(0);
});
