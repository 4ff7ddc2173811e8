// The committed model through the doors that `npm start` opens: workerd for texts, the encoder process for images.
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Miniflare } from 'miniflare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EMBEDDED_MODEL } from '../../api/bundle.ts';
import { startWorker } from '../../api/serve.ts';
import { EmbedResponse } from '../../contracts/src/embed.ts';
import { ERROR_STATUS, ErrorBody } from '../../contracts/src/error.ts';
import { SimilarityResponse } from '../../contracts/src/similarity.ts';

const API = join(import.meta.dirname, '../../api');
const sample = (name: string) =>
  `data:image/png;base64,${readFileSync(join(API, 'playground/samples', `${name}.png`)).toString('base64')}`;

let worker: Miniflare;
let encoder: ChildProcess;
let url: string;

beforeAll(async () => {
  const started = spawn(process.execPath, [join(API, 'encoder/server.ts'), '--model', EMBEDDED_MODEL], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  encoder = started;
  const port = await new Promise<number>((done) => {
    createInterface({ input: started.stdout }).on('line', (line) => {
      if (line.includes('"listening"')) done(JSON.parse(line).port);
    });
  });
  worker = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: `http://127.0.0.1:${port}` });
  url = (await worker.ready).origin;
}, 120_000);

afterAll(async () => {
  await worker?.dispose();
  encoder?.kill('SIGTERM');
});

async function post(path: string, body: unknown) {
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() };
}
const embed = async (body: unknown) => EmbedResponse.parse((await post('/embed', body)).body);
const floats = (item: EmbedResponse['data'][number] | undefined) => item?.embedding as number[];
const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? Number.NaN), 0);

describe('embeddings', () => {
  test('keep the order of texts and images in one list and have unit length', async () => {
    const { data, usage } = await embed({ input: ['a boat', { image: sample('boat') }, { text: 'a car' }] });
    expect(data.map(({ index, modality }) => [index, modality])).toEqual([
      [0, 'text'],
      [1, 'image'],
      [2, 'text'],
    ]);
    for (const item of data) expect(Math.hypot(...floats(item))).toBeCloseTo(1, 5);
    expect(usage.images).toBe(1);
    const [alone] = (await embed({ input: 'a car' })).data;
    expect(dot(floats(data[2]), floats(alone))).toBeGreaterThan(0.9999);
  });

  test('are written in several types that agree', async () => {
    const { data } = await embed({ input: 'a dog', types: ['float', 'base64', 'int8', 'ubinary'], dimensions: 64 });
    const { float, base64, int8, ubinary } = data[0]?.embedding as {
      float: number[];
      base64: string;
      int8: number[];
      ubinary: number[];
    };
    const bytes = Buffer.from(base64, 'base64');
    expect(float.map((_, i) => bytes.readFloatLE(4 * i))).toEqual(float.map(Math.fround));
    expect(int8).toEqual(float.map((x) => Math.max(-127, Math.min(127, Math.round(x * 127))) + 0));
    expect(ubinary[0]).toBe(float.slice(0, 8).reduce((byte, x) => byte * 2 + (x > 0 ? 1 : 0), 0));
  });

  test('of fewer dimensions are the beginning of the whole one, made unit length again', async () => {
    const [whole] = (await embed({ input: 'two children on a beach' })).data;
    const [short] = (await embed({ input: 'two children on a beach', dimensions: 128 })).data;
    const cut = floats(whole).slice(0, 128);
    expect(dot(cut, floats(short)) / Math.hypot(...cut)).toBeCloseTo(1, 5);
  });

  test('say what was cut from a long text, at either end', async () => {
    const text = 'a brown dog runs over wet grass . '.repeat(120);
    for (const truncate of ['end', 'start']) {
      const { truncation } = (await embed({ input: text, truncate })).data[0] ?? {};
      expect(truncation).toMatchObject({ truncated: true, tokens_seen: 512 });
      expect(truncation?.tokens_total).toBeGreaterThan(900);
      expect(truncation?.cut_at_char).toBeGreaterThan(0);
    }
  });
});

describe('similarity', () => {
  test('puts the sentence that means the same first, in another language too', async () => {
    const b = ['a boat on a lake', 'a husky in winter', 'children at a table', 'ein Hund läuft durch den Schnee'];
    const body = { a: 'a dog running through snow', b, mode: 'top_k', top_k: 2 };
    const answer = SimilarityResponse.parse((await post('/similarity', body)).body);
    if (answer.mode !== 'top_k') throw new Error('not the mode that was asked for');
    expect(answer.results[0]?.map(({ index }) => index).sort()).toEqual([1, 3]);
  });

  test('accepts vectors of its own space and refuses those of another', async () => {
    const { data, space_id } = await embed({ input: 'a dog', types: ['base64'] });
    const vector = { embedding: data[0]?.embedding, space_id, modality: 'text' };
    const { body } = await post('/similarity', { a: vector, b: 'a dog' });
    expect(body.scores[0][0]).toBeCloseTo(1, 4);
    const other = { ...vector, space_id: `sha256:${'0'.repeat(64)}` };
    expect((await post('/similarity', { a: other, b: 'a dog' })).body.code).toBe('space_mismatch');
  });
});

describe('mistakes get their own code, status and sentence', () => {
  test.each([
    ['malformed_json', '/embed', '{"input": '],
    ['unknown_key', '/embed', { input: 'a', dimension: 64 }],
    ['empty_input', '/embed', { input: [] }],
    ['wrong_type', '/embed', { input: 5 }],
    ['unsupported_type', '/embed', { input: 'a', types: ['float16'] }],
    ['invalid_dimensions', '/embed', { input: 'a', dimensions: 100 }],
    ['model_not_found', '/embed', { input: 'a', model: 'other' }],
    ['too_many_items', '/embed', { input: Array.from({ length: 300 }, () => 'a') }],
    ['text_too_long', '/embed', { input: 'dog '.repeat(700), truncate: 'none' }],
    ['not_an_image', '/embed', { input: { image: Buffer.from('hello there, no picture').toString('base64') } }],
    ['broken_image', '/embed', { input: { image: sample('boat').slice(0, 2000) } }],
  ] as const)('%s', async (code, path, body) => {
    const answer = await post(path, body);
    const error = ErrorBody.parse(answer.body);
    expect([error.code, answer.status]).toEqual([code, ERROR_STATUS[code]]);
    expect(error.error.message).toBe(error.detail);
    expect(answer.type).toContain('application/problem+json');
  });

  test('a page that is not there is a 404 and a wrong method a 405 that says which are allowed', async () => {
    expect((await fetch(`${url}/nothing`)).status).toBe(404);
    const wrong = await fetch(`${url}/embed`);
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

test('the server proves its model by its golden vectors', async () => {
  const response = await fetch(`${url}/health/ready`);
  expect(response.status).toBe(200);
  const { golden } = await response.json();
  expect(golden.length).toBeGreaterThanOrEqual(5);
});
