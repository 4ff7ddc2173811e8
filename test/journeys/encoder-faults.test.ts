// A proxy between the Worker and the real image encoder that does what networks and platforms do: what callers see of it.
import { readFileSync } from 'node:fs';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import { startWorker } from '../../api/dev/local-worker.ts';
import { answering } from '../../contracts/command/local-server.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { EncodeResponse } from '../../contracts/src/api/encode.ts';
import { ERROR_STATUS, ErrorBody, type ErrorCode } from '../../contracts/src/api/error.ts';

const SAMPLES = new URL('../../api/playground/samples/', import.meta.url);
const photo = (name: string) => ({ image: readFileSync(new URL(`${name}.jpg`, SAMPLES)).toString('base64') });
const [CAT, ROCKET] = [photo('cat'), photo('rocket')];
/** For all that a request asks of the encoder: short where it is to run out, and longer than a loaded machine takes where not. */
const [SHORT, LONG] = [3, 120];

/** What becomes of an answer of the real encoder; undefined: it goes through. */
type Fault = (response: ServerResponse, answer: EncodeResponse) => void;
const json = (response: ServerResponse, body: unknown) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
const page = (status: number) => (response: ServerResponse) =>
  response.writeHead(status, { 'content-type': 'text/html' }).end('<h1>the platform, in its own words</h1>');
/** With the numbers that `change` makes of each vector. */
const vectors =
  (change: (vector: Float32Array) => Float32Array) => (response: ServerResponse, answer: EncodeResponse) =>
    json(response, {
      ...answer,
      results: answer.results.map((result) => {
        if (result.status !== 'ok') return result;
        const bytes = Uint8Array.from(Buffer.from(result.embedding, 'base64'));
        const vector = change(new Float32Array(bytes.buffer));
        return {
          ...result,
          embedding: Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64'),
        };
      }),
    });

const FAULTS = {
  'a stall': () => {},
  'a 502 page': page(502),
  'a 503 page': page(503),
  'a 500 page': page(500),
  'a 413 page': page(413),
  'a reset in the middle of the body': (response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 10_000 });
    response.write('{"space_id":', () => response.destroy());
  },
  'a body that never ends': (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    const timer = setInterval(() => response.write(' '), 100);
    response.on('close', () => clearInterval(timer));
  },
  'vectors of another length': vectors((vector) => vector.subarray(1)),
  NaN: vectors((vector) => vector.fill(Number.NaN, 0, 1)),
  'vectors that are not of unit length': vectors((vector) => vector.map((value) => 2 * value)),
  'results in another order': (response, answer) => json(response, { ...answer, results: answer.results.toReversed() }),
  'a result too few': (response, answer) => json(response, { ...answer, results: answer.results.slice(1) }),
  'another space': (response, answer) => json(response, { ...answer, space_id: `sha256:${'0'.repeat(64)}` }),
} satisfies Record<string, Fault>;

let encoder: Awaited<ReturnType<typeof startEncoder>>;
let proxy: Server;
let proxyUrl: string;
/** Of the answers to come, the first `times` suffer. */
let fault: { what: Fault; times: number } | undefined;
let attempts = 0;
const workers: Miniflare[] = [];

beforeAll(async () => {
  encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: 1000 });
  proxy = answering(async (request, response) => {
    attempts += 1;
    const suffers = fault !== undefined && fault.times-- > 0;
    const what = fault?.what;
    const sent = await buffer(request);
    const answer = await fetch(`${encoder.url}${request.url}`, {
      method: 'POST',
      headers: { 'content-type': request.headers['content-type'] ?? '' },
      body: new Uint8Array(sent),
    });
    const body = EncodeResponse.parse(await answer.json());
    if (suffers) what?.(response, body);
    else json(response, body);
  });
  await new Promise<void>((listening) => proxy.listen(0, '127.0.0.1', listening));
  proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
});
afterAll(async () => {
  for (const worker of workers) await worker.dispose();
  proxy.closeAllConnections();
  proxy.close();
  await encoder.stop();
});
beforeEach(() => {
  [fault, attempts] = [undefined, 0];
});

async function serve(seconds: number): Promise<string> {
  const variables = { ENCODER_SECONDS: String(seconds), ENCODER_MAX_BYTES: '100000', CACHE: 'off' };
  const { platform, url } = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: proxyUrl, variables });
  workers.push(platform);
  // The first text opens the model, which may take longer than an encoder is waited for.
  expect((await embed(url, 'a dog')).status).toBe(200);
  return url;
}

function embed(url: string, input: unknown): Promise<Response> {
  return fetch(`${url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input }),
  });
}

interface Refusal {
  what: Fault;
  code: ErrorCode;
  tries: number;
}

async function expectRefusal(url: string, { what, code, tries }: Refusal): Promise<void> {
  fault = { what, times: Infinity };
  let isAnswered = false;
  const images = embed(url, [CAT, 'a cat', ROCKET]).then((response) => {
    isAnswered = true;
    return response;
  });
  // A text is answered, whatever becomes of images; with a stall, before anything becomes of them.
  const text = await embed(url, 'a dog');
  expect(text.status).toBe(200);
  if (code === 'encoder_timeout') expect(isAnswered).toBe(false);
  const response = await images;
  const body = ErrorBody.parse(await response.json());
  expect([body.code, response.status, attempts]).toEqual([code, ERROR_STATUS[code], tries]);
  expect(body.detail).not.toContain('in its own words');
  if (response.status === 503 || response.status === 504) {
    expect(response.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  }
}

describe('a fault that stays', () => {
  let url: string;
  let patient: string;
  beforeAll(async () => {
    [url, patient] = [await serve(SHORT), await serve(LONG)];
  });

  test.each(['a stall', 'a body that never ends'] as const)('%s ends at the deadline, after one try', async (name) => {
    await expectRefusal(url, { what: FAULTS[name], code: 'encoder_timeout', tries: 1 });
  });

  test.each([
    ['a 502 page', 'encoder_unavailable', 2],
    ['a 503 page', 'encoder_unavailable', 2],
    ['a reset in the middle of the body', 'encoder_unavailable', 2],
    ['a 500 page', 'encoder_error', 1],
    ['a 413 page', 'image_too_large', 1],
    ['vectors of another length', 'encoder_error', 1],
    ['NaN', 'non_finite_embedding', 1],
    ['vectors that are not of unit length', 'non_finite_embedding', 1],
    ['results in another order', 'encoder_error', 1],
    ['a result too few', 'encoder_error', 1],
    ['another space', 'encoder_error', 1],
  ] as [keyof typeof FAULTS, ErrorCode, number][])('%s: %s after %i tries', async (name, code, tries) => {
    // The breaker begins to count anew.
    expect((await embed(patient, ROCKET)).status).toBe(200);
    attempts = 0;
    await expectRefusal(patient, { what: FAULTS[name], code, tries });
  });
});

describe('another Worker', () => {
  let url: string;
  beforeAll(async () => {
    url = await serve(LONG);
  });

  test.each(['a 502 page', 'a 503 page', 'a reset in the middle of the body'] as const)(
    'does not show %s that passes, after a second try',
    async (name) => {
      fault = { what: FAULTS[name], times: 1 };
      const response = await embed(url, [CAT, ROCKET]);
      expect([response.status, attempts]).toEqual([200, 2]);
      expect(EmbedResponse.parse(await response.json()).data).toHaveLength(2);
    },
  );

  test('refuses a file that the platform does not take, and does not send it', async () => {
    const large = {
      image: Buffer.concat([Buffer.from(CAT.image, 'base64'), Buffer.alloc(100_000)]).toString('base64'),
    };
    const response = await embed(url, [ROCKET, large]);
    const { code, item, detail } = ErrorBody.parse(await response.json());
    expect([code, item]).toEqual(['image_too_large', 1]);
    expect(detail).toContain('100,000');
  });

  test('sends many images in several calls, and puts each vector into its place', async () => {
    const many = Array.from({ length: 10 }, (_, i) => (i % 3 === 0 ? CAT : ROCKET));
    const { data } = EmbedResponse.parse(await (await embed(url, many)).json());
    expect(attempts).toBe(2);
    expect(new Set(data.map(({ embedding }) => JSON.stringify(embedding))).size).toBe(2);
    data.forEach(({ embedding }, i) => {
      expect(embedding).toEqual(data[i % 3 === 0 ? 0 : 1]?.embedding);
    });
  });

  test('leaves the encoder alone for a while after five failures, and asks it again then', async () => {
    fault = { what: FAULTS['a 500 page'], times: Infinity };
    for (let times = 0; times < 5; times++) expect((await embed(url, CAT)).status).toBe(502);
    expect(attempts).toBe(5);
    const refused = await embed(url, CAT);
    expect([refused.status, attempts]).toEqual([503, 5]);
    const seconds = Number(refused.headers.get('retry-after'));
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(5);
    expect((await embed(url, 'a dog')).status).toBe(200);

    fault = undefined;
    await new Promise((wait) => setTimeout(wait, 1000 * seconds));
    expect((await embed(url, CAT)).status).toBe(200);
    expect((await embed(url, ROCKET)).status).toBe(200);
    expect(attempts).toBe(7);
  });
});
