// The committed model through the doors that `npm start` opens: workerd for texts, the encoder process for images.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { LiveReport, ModelList, ReadyReport } from '../../contracts/src/api/models.ts';
import { SimilarityResponse } from '../../contracts/src/api/similarity.ts';
import { ClassifyResponse } from '../../contracts/src/api/tasks/classify.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';
import { packed, rotatedSlowly } from '../support/rotation.ts';

const API = join(import.meta.dirname, '../../api');
const sample = (name: string) =>
  `data:image/jpeg;base64,${readFileSync(join(API, 'playground/samples', `${name}.jpg`)).toString('base64')}`;

let server: LocalServer;

beforeAll(async () => {
  server = await startLocalServer();
}, 120_000);
afterAll(() => server?.stop());

async function post(path: string, body: unknown) {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
const embed = async (body: unknown) => EmbedResponse.parse((await post('/embed', body)).body);
const floats = (item: EmbedResponse['data'][number] | undefined) => item?.embedding as number[];
const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? Number.NaN), 0);

describe('embeddings', () => {
  test('keep the order of texts and images in one list and have unit length', async () => {
    const { data, usage } = await embed({ input: ['a flower', { image: sample('flower') }, { text: 'a car' }] });
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
    const { float, base64, int8, ubinary } = (data[0]?.embedding ?? {}) as {
      float: number[];
      base64: string;
      int8: number[];
      ubinary: number[];
    };
    const bytes = Buffer.from(base64, 'base64');
    expect(float.map((_, i) => bytes.readFloatLE(4 * i))).toEqual(float.map(Math.fround));
    const { data: models } = ModelList.parse(await (await fetch(`${server.url}/v1/models`)).json());
    const scale = models[0]?.int8_scale ?? Number.NaN;
    expect(int8).toEqual(float.map((x) => Math.max(-128, Math.min(127, Math.round(Math.fround(x) * scale))) + 0));
    expect(models[0]?.bits).toBe('rotated');
    expect(ubinary).toEqual(packed(rotatedSlowly(float)));
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

describe('classification', () => {
  const labels = ['cat', 'rocket', 'flower'];

  test('finds what is on a photo, of labels that nothing was trained on', async () => {
    const input = labels.map((name) => ({ image: sample(name) }));
    const { data } = ClassifyResponse.parse((await post('/classify', { input, labels })).body);
    expect(data.map(({ prediction }) => prediction)).toEqual(labels);
  });

  test('finds what a text is about, in another language too', async () => {
    const input = ['a rocket lifts off', 'eine Blume im Garten'];
    const { data } = ClassifyResponse.parse((await post('/v1/classify', { input, labels, top_k: 1 })).body);
    expect(data.map(({ prediction }) => prediction)).toEqual(['rocket', 'flower']);
    expect(data.every(({ predictions }) => predictions.length === 1)).toBe(true);
  });

  test('says where a photo is none of the labels', async () => {
    const input = ['temple', 'rocket', 'cat'].map((name) => ({ image: sample(name) }));
    const asked = { input, labels: ['cat', 'dog', 'bird'], none_of_these: true };
    const { data } = ClassifyResponse.parse((await post('/classify', asked)).body);
    expect(data.map(({ prediction }) => prediction)).toEqual([null, null, 'cat']);
    expect(data[0]?.score).toBe(data[0]?.none_of_these);
  });

  test('answers the zero-shot tasks of Hugging Face', async () => {
    const parameters = { candidate_labels: labels };
    const [image] = sample('cat').split(',').slice(1);
    for (const inputs of [image, { image }, 'a kitten plays']) {
      const { body } = await post('/', { inputs, parameters });
      expect(body[0].label).toBe('cat');
      expect(body.map(({ label }: { label: string }) => label).sort()).toEqual([...labels].sort());
    }
  });
});

describe('the root', () => {
  test('is the playground for a browser, which may keep it', async () => {
    const page = await fetch(`${server.url}/`);
    expect(page.headers.get('content-type')).toContain('text/html');
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    const etag = page.headers.get('etag') ?? '';
    expect(await page.text()).toContain('<title>edge-clip playground</title>');
    expect((await fetch(`${server.url}/`, { headers: { 'if-none-match': etag } })).status).toBe(304);
    expect((await fetch(`${server.url}/`, { method: 'HEAD' })).headers.get('etag')).toBe(etag);
  });

  test('answers what Hugging Face clients send, with bare lists', async () => {
    const { status, body } = await post('/', { inputs: ['a dog', 'a boat'], normalize: true, truncate: true });
    expect([status, body.length, body[0].length]).toEqual([200, 2, 512]);
    const [alone] = (await embed({ input: 'a dog' })).data;
    expect(dot(body[0], floats(alone))).toBeCloseTo(1, 5);
    const inputs = { source_sentence: 'a dog', sentences: ['ein Hund', 'a boat'] };
    const similar = await post('/', { inputs, parameters: {} });
    expect(similar.body[0]).toBeGreaterThan(similar.body[1]);
  });

  test('answers the bodies of TEI beside our own, on their own paths', async () => {
    const vectors = await post('/embed', { inputs: ['a dog'], truncate: true });
    expect([vectors.body.length, vectors.body[0].length]).toEqual([1, 512]);
    const inputs = { source_sentence: 'a dog', sentences: ['a cat', 'a husky'] };
    expect((await post('/similarity', { inputs })).body).toEqual([expect.any(Number), expect.any(Number)]);
  });

  test('says in our document what it does not take', async () => {
    const response = await fetch(`${server.url}/`, { method: 'PUT' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST, OPTIONS']);
    expect((await response.json()).code).toBe('method_not_allowed');
  });
});

test('the server proves its model by its golden vectors', async () => {
  const response = await fetch(`${server.url}/health/ready`);
  expect(response.status).toBe(200);
  const { golden } = ReadyReport.parse(await response.json());
  expect(golden.length).toBeGreaterThanOrEqual(5);
});

test('what it says of itself is what its interface promises, nothing more and nothing less', async () => {
  const get = async (path: string) => (await fetch(`${server.url}${path}`)).json();
  const { data } = ModelList.parse(await get('/v1/models'));
  expect(data.map(({ tier }) => tier)).toEqual(['student', 'tiny', 'static']);
  expect(data[0]?.dimensions).toEqual([512, 256, 128, 64]);
  expect(LiveReport.parse(await get('/health/live'))).toEqual({ status: 'ok' });
});
