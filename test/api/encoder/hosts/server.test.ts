// The encoder's hosts as a caller meets them: over HTTP, as a process, and as a Lambda function.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { createInterface } from 'node:readline';
import { text as textOf } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { FRAME_TYPE, writeFrame } from '../../../../api/core/images/frame.ts';
import { createAdmission } from '../../../../api/encoder/admission.ts';
import type { Encode } from '../../../../api/encoder/encode.ts';
import { createHttpServer } from '../../../../api/encoder/hosts/server.ts';
import { openService } from '../../../../api/encoder/hosts/service.ts';
import type { Service } from '../../../../api/encoder/http.ts';
import { singleTower } from '../../../../api/encoder/towers.ts';
import { EncodeResponse, EncoderHealth } from '../../../../contracts/src/api/encode.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { LIMITS } from '../../../../contracts/src/api/limits.ts';
import { refusedImage } from '../../../support/encode-results.ts';
import { tinyManifest, writeTinyImageModel } from '../../../support/tiny-image-model.ts';

const image = (name: string) =>
  readFileSync(new URL(`../../../../contracts/vectors/preprocess/images/${name}`, import.meta.url)).toString('base64');
const { folder, manifest } = writeTinyImageModel();
const { space_id } = manifest;
const SERVER = fileURLToPath(new URL('../../../../api/encoder/hosts/server.ts', import.meta.url));

async function listen(service: Service) {
  const server = createHttpServer(service);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, close: () => new Promise((closed) => server.close(closed)) };
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/encode`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });

const postFrame = (url: string, body: Uint8Array<ArrayBuffer>) =>
  fetch(`${url}/encode`, { method: 'POST', headers: { 'content-type': FRAME_TYPE }, body });

describe('over HTTP', () => {
  let service: Awaited<ReturnType<typeof openService>>;
  let host: Awaited<ReturnType<typeof listen>>;
  beforeAll(async () => {
    service = await openService({ model: folder, threads: 1 });
    host = await listen(service);
  });
  afterAll(async () => {
    await host.close();
    await service.close();
  });

  test('one verdict an image comes back, in order', async () => {
    const reply = await post(host.url, { space_id, images: [image('wide.png'), 'AAAA', '%', image('tall.jpg')] });
    expect(reply.status).toBe(200);
    const { results } = EncodeResponse.parse(await reply.json());
    expect(results).toMatchObject([
      { status: 'ok', width: 97, height: 61 },
      { status: 'failed', code: 'not_an_image' },
      { status: 'failed', code: 'not_an_image' },
      { status: 'ok', width: 43, height: 89 },
    ]);
  });

  test('files as they are get the answer that base64 of them gets', async () => {
    const names = ['wide.png', 'tall.jpg', 'wide.avif'];
    const frame = writeFrame(
      space_id,
      names.map((name) => Buffer.from(image(name), 'base64')),
    );
    const reply = await postFrame(host.url, frame);
    expect(reply.status).toBe(200);
    const plain = await post(host.url, { space_id, images: names.map(image) });
    expect(EncodeResponse.parse(await reply.json())).toEqual(EncodeResponse.parse(await plain.json()));
  });

  test.each([
    ['nothing', [], 'invalid_request'],
    ['a header that is cut off', [0, 0, 0, 9, 123], 'invalid_request'],
    ['a header of 4 GB', [255, 255, 255, 255, 123, 125], 'invalid_request'],
    ['a header that is not JSON', [0, 0, 0, 2, 123, 123], 'invalid_request'],
    ['a header without sizes', [0, 0, 0, 2, 123, 125], 'invalid_request'],
    ['a byte too many', [...writeFrame(space_id, [Uint8Array.of(1)]), 0], 'invalid_request'],
  ])('a frame of %s is refused', async (_, bytes, code) => {
    const reply = await postFrame(host.url, Uint8Array.from(bytes));
    expect([reply.status, ErrorBody.parse(await reply.json()).code]).toEqual([400, code]);
  });

  test('health names the model and its space', async () => {
    const reply = await fetch(`${host.url}/health`);
    const health = EncoderHealth.parse(await reply.json());
    expect(health).toMatchObject({ status: 'ok', model: 'tiny', space_id, spaces: [space_id], pending: { images: 0 } });
  });

  const images = ['AAAA'];
  test.each([
    ['not JSON', '{"space_id":', 400, 'malformed_json', /not JSON/],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22]), 400, 'malformed_json', /not JSON/],
    ['an unknown key', { space_id, images, size: 3 }, 400, 'unknown_key', /size/],
    ['a wrong type', { space_id, images: 'AAAA' }, 400, 'wrong_type', /images/],
    ['no images', { space_id, images: [] }, 400, 'empty_input', /images/],
    ['a space id that is none', { space_id: 'mine', images }, 400, 'invalid_request', /space_id/],
    ['too many images', { space_id, images: Array(33).fill('AAAA') }, 422, 'too_many_items', /33 .* at most 32/],
    ['another space', { space_id: `sha256:${'b'.repeat(64)}`, images }, 422, 'space_mismatch', /bbb/],
  ])('%s is refused with its own code', async (_, body, status, code, message) => {
    const reply = await fetch(`${host.url}/encode`, {
      method: 'POST',
      body: Buffer.isBuffer(body) || typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json', 'x-request-id': 'abc-1' },
    });
    const problem = ErrorBody.parse(await reply.json());
    expect(reply.headers.get('content-type')).toBe('application/problem+json');
    expect(problem).toMatchObject({ status, code, request_id: 'abc-1', detail: expect.stringMatching(message) });
    expect(problem).toMatchObject({ type: `urn:edge-clip:error:${code}`, error: { type: 'invalid_request_error' } });
    expect([reply.status, problem.error.message]).toEqual([status, problem.detail]);
  });

  test('other methods, paths and media types are refused', async () => {
    const get = await fetch(`${host.url}/encode`);
    expect([get.status, get.headers.get('allow')]).toEqual([405, 'POST']);
    expect((await fetch(`${host.url}/embed`)).status).toBe(404);
    expect((await post(host.url, '<x/>', { 'content-type': 'text/xml' })).status).toBe(415);
  });

  test('a body over the limit is refused, announced or not, and the server goes on', async () => {
    const tooMuch = Buffer.alloc(LIMITS.body_bytes * 2, ' ');
    const announced = await fetch(`${host.url}/encode`, { method: 'POST', body: tooMuch });
    expect(await announced.json()).toMatchObject({
      code: 'body_too_large',
      detail: expect.stringMatching(/20,971,520/),
    });
    expect([413, 'closed']).toContain(await sendInPieces(host.url, LIMITS.body_bytes * 2));
    expect((await fetch(`${host.url}/health`)).status).toBe(200);
    expect(service.admission.pending()).toEqual({ bytes: 0, images: 0, pixels: 0 });
  });

  test('fifty callers at once all get their own answer', async () => {
    const names = ['wide.png', 'tall.png', 'column.png', 'row.png', 'wide.jpg'];
    const replies = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const reply = await post(host.url, { space_id, images: [image(names[i % 5] ?? '')] });
        return EncodeResponse.parse(await reply.json()).results;
      }),
    );
    const sizes = [97, 43, 1, 71, 97];
    replies.forEach((results, i) => {
      expect(results).toMatchObject([{ status: 'ok', width: sizes[i % 5] }]);
    });
  });
});

test('callers that would wait too long are told when to come back, and those inside are served', async () => {
  let finish = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const encode: Encode = async (files) => {
    await finished;
    return files.map(() => refusedImage({ code: 'broken_image', message: 'looked at' }));
  };
  const admission = createAdmission({ bytes: 1e9, images: 3, pixels: 1e9 });
  const host = await listen({ towers: singleTower({ manifest: tinyManifest(), encode }), admission });
  const calls = Array.from({ length: 8 }, () => post(host.url, { space_id, images: ['AAAA'] }));
  while ((await (await fetch(`${host.url}/health`)).json()).pending.images < 3);
  const refused = await post(host.url, { space_id, images: ['AAAA'] });
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(ErrorBody.parse(await refused.json()).code).toBe('overloaded');
  finish();
  const statuses = (await Promise.all(calls)).map(({ status }) => status).toSorted();
  expect(statuses).toEqual([200, 200, 200, 429, 429, 429, 429, 429]);
  expect((await post(host.url, { space_id, images: ['AAAA'] })).status).toBe(200);
  await host.close();
});

test('a failure of the encoder itself is the error document that the Worker writes, and its cause stays inside', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
  const towers = {
    ...singleTower({ manifest: tinyManifest(), encode: async () => [] }),
    find: () => Promise.reject(new Error('secret path')),
  };
  const host = await listen({ towers, admission: createAdmission() });
  const reply = await post(host.url, { space_id, images: ['AAAA'] });
  await host.close();
  expect([reply.status, reply.headers.get('x-should-retry')]).toEqual([500, 'false']);
  const document = ErrorBody.parse(await reply.json());
  expect(document).toMatchObject({ type: 'urn:edge-clip:error:internal_error', error: { type: 'server_error' } });
  expect(JSON.stringify(document)).not.toContain('secret');
  expect(String(logged.mock.calls)).toContain('secret path');
  logged.mockRestore();
});

test('a request larger than the limits is served when no other waits', () => {
  const admission = createAdmission({ bytes: 10, images: 2, pixels: 100 });
  const leave = admission.enter({ images: 5, pixels: 1000 });
  expect(leave).toBeDefined();
  expect(admission.enter({ images: 1, pixels: 1 })).toBeUndefined();
  leave?.();
  expect(admission.enter({ images: 1, pixels: 1 })).toBeDefined();
});

test('a body that does not come in time gives its room back, and one that breaks off is no fault of ours', async () => {
  const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
  const admission = createAdmission();
  const encode = () => Promise.reject(new Error('nothing is encoded here'));
  const server = createHttpServer({ towers: singleTower({ manifest, encode }), admission }, { requestMs: 600 });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  const head =
    'POST /encode HTTP/1.1\r\nhost: encoder\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n';
  const open = () => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${head}{`));
    return socket.on('error', () => {});
  };

  const slow = open();
  const drip = setInterval(() => slow.write(' '), 50);
  const answer = await textOf(slow);
  clearInterval(drip);
  expect(answer).toMatch(/^HTTP\/1\.1 408 /);
  const broken = open();
  await expect.poll(() => admission.pending().bytes).toBe(1000);
  broken.resetAndDestroy();
  await expect.poll(() => admission.pending().bytes).toBe(0);
  expect(logged.mock.calls).toEqual([]);
  logged.mockRestore();
  await new Promise((closed) => server.close(closed));
});

describe('as a process', () => {
  const start = (arguments_: string[] = []) =>
    spawn(process.execPath, [SERVER, '--model', folder, '--threads', '1', ...arguments_], {
      env: { ...process.env, PORT: '0' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const exit = (child: ChildProcess) => new Promise<number | null>((done) => child.once('exit', done));
  async function firstLine(child: ChildProcess): Promise<string> {
    if (!child.stdout) throw new Error('no standard output');
    for await (const line of createInterface({ input: child.stdout })) return line;
    throw new Error('the process ended without a line');
  }

  test('it says its port, finishes what runs on SIGTERM and exits with 0', async () => {
    const child = start();
    const { event, port } = JSON.parse(await firstLine(child));
    expect(event).toBe('listening');
    const url = `http://127.0.0.1:${port}`;
    const running = post(url, { space_id, images: Array(32).fill(image('wide.jpg')) });
    while ((await (await fetch(`${url}/health`)).json()).pending.bytes === 0) if (await settled(running)) break;
    const exited = exit(child);
    child.kill('SIGTERM');
    expect((await running).status).toBe(200);
    expect(await exited).toBe(0);
  });

  test('it leaves when its parent is killed', async () => {
    const script = `const { spawn } = require('node:child_process');
      const child = spawn(process.execPath, ${JSON.stringify([SERVER, '--model', folder])}, { stdio: 'inherit' });
      console.log(child.pid); setInterval(() => {}, 1000);`;
    const parent = spawn(process.execPath, ['-e', script], { env: { ...process.env, PORT: '0' }, stdio: 'pipe' });
    const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
    const pid = Number((await lines.next()).value);
    expect((await lines.next()).value).toContain('listening');
    parent.kill('SIGKILL');
    while (isAlive(pid)) await new Promise((wait) => setTimeout(wait, 50));
  }, 20_000);

  test('it says in a sentence that there is no model', async () => {
    const child = spawn(process.execPath, [SERVER, '--model', '/nowhere'], { stdio: ['ignore', 'ignore', 'pipe'] });
    const exited = exit(child);
    let message = '';
    for await (const part of child.stderr) message += part;
    expect(message).toMatch(/^there is no model at \/nowhere\/manifest.json: [^\n]*\n$/);
    expect(await exited).toBe(2);
  });

  test('it says in a sentence that its port is taken', async () => {
    const first = start();
    const { port } = JSON.parse(await firstLine(first));
    const words = [SERVER, '--model', folder];
    const second = spawn(process.execPath, words, {
      env: { ...process.env, PORT: String(port) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const [exited, message] = await Promise.all([exit(second), textOf(second.stderr)]);
    first.kill('SIGTERM');
    expect([exited, message]).toEqual([
      2,
      `port ${port} is taken; choose another by the variable PORT, such as PORT=8788\n`,
    ]);
  });

  test.each([
    ['PORT', 'http', 'a whole number from 0 to 65535'],
    ['PORT', '65536', 'a whole number from 0 to 65535'],
    ['PORT', '', 'a whole number from 0 to 65535'],
    ['MODEL_REGISTRY_SECONDS', 'often', 'a number from 0.01 to 86400'],
    ['MODEL_REGISTRY_SECONDS', '0', 'a number from 0.01 to 86400'],
  ])('$%s of %o is refused by its name, before anything listens', async (name, value, range) => {
    const words = [SERVER, '--model', folder, '--registry', 'file:///nowhere'];
    const child = spawn(process.execPath, words, {
      env: { ...process.env, PORT: '0', [name]: value },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [exited, output, message] = await Promise.all([exit(child), textOf(child.stdout), textOf(child.stderr)]);
    expect([exited, output, message]).toEqual([2, '', `$${name} ${value}: ${range}\n`]);
  });
});

describe('as a Lambda function', () => {
  const event = (body: string, isBase64Encoded: boolean) => ({
    version: '2.0',
    rawPath: '/encode',
    headers: { 'content-type': 'application/json' },
    requestContext: { requestId: 'r-1', http: { method: 'POST' } },
    body,
    isBase64Encoded,
  });

  test('plain and base64 bodies get the answer that the server gives', async () => {
    process.env.CLIP_MODEL = folder;
    const { handler } = await import('../../../../api/encoder/hosts/lambda.ts');
    const body = JSON.stringify({ space_id, images: [image('wide.png')] });
    const plain = await handler(event(body, false));
    const encoded = await handler(event(Buffer.from(body).toString('base64'), true));
    expect(plain).toMatchObject({ statusCode: 200, headers: { 'x-request-id': 'r-1' } });
    expect(encoded).toEqual(plain);
    expect(EncodeResponse.parse(JSON.parse(plain.body)).results).toMatchObject([{ status: 'ok', width: 97 }]);
    expect(await handler(event('{', false))).toMatchObject({ statusCode: 400 });
  });
});

/** A chunked body that announces no length, written piece by piece as the server takes it, and never more than `bytes`. */
function sendInPieces(url: string, bytes: number): Promise<number | undefined | 'closed'> {
  return new Promise((resolve) => {
    const call = request(`${url}/encode`, { method: 'POST' }, (reply) => {
      resolve(reply.statusCode);
      call.destroy();
    });
    call.once('error', () => resolve('closed'));
    const piece = Buffer.alloc(1024 * 1024, ' ');
    let left = bytes;
    const write = () => {
      while (left > 0) {
        left -= piece.length;
        if (!call.write(piece)) return;
      }
      call.end();
    };
    call.on('drain', write);
    write();
  });
}

async function settled(promise: Promise<unknown>): Promise<boolean> {
  return Promise.race([promise.then(() => true), new Promise<boolean>((no) => setTimeout(no, 1, false))]);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
