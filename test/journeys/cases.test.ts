// Requests that once came back wrong, each with what a caller wants instead, sent to the running service.
// A client that is cut off while it is computed for is in abandoned.test.ts.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { VectorItem } from '../../contracts/src/api/similarity.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const file = (name: string) => readFileSync(join(import.meta.dirname, 'cases', name));
const document = (name: string) => JSON.parse(file(name).toString());

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
}, 120_000);
afterAll(() => server?.stop());

const JSON_TYPE = { 'content-type': 'application/json' };
async function send(path: string, body: string | Buffer, headers: Record<string, string> = JSON_TYPE) {
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    headers,
    body: Uint8Array.from(Buffer.from(body)),
  });
  return { status: response.status, headers: response.headers, body: await response.json() };
}
const sendFile = (path: string, name: string, headers?: Record<string, string>) => send(path, file(name), headers);
const post = (path: string, body: unknown) => send(path, JSON.stringify(body));
const image = (name: string) => post('/embed', { input: { image: file(name).toString('base64') } });

const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * (b[i] ?? Number.NaN), 0);

/** An item of an /embed answer as it was stored by a caller who kept only these fields. */
async function stored(text: string, type: string): Promise<VectorItem> {
  const { data, space_id } = (await post('/embed', { input: text, types: [type] })).body;
  return { embedding: data[0].embedding[type] ?? data[0].embedding, space_id, modality: 'text' };
}

describe('ready vectors of bytes', () => {
  test.each(['uint8', 'binary', 'ubinary'])(
    '%s: without a type they are refused, and the sentence asks for it',
    async (type) => {
      const a = await stored('a dog', type);
      for (const b of [
        ['a dog', 'a cat'],
        [a, await stored('a cat', type)],
      ]) {
        const { status, body } = await post('/similarity', { a, b });
        expect([status, body.code]).toEqual([400, 'invalid_request']);
        expect(body.detail).toMatch(/Send its type: float, int8, uint8, binary or ubinary/);
        expect(body.error.param).toMatch(/^a\.0$/);
      }
    },
  );

  test.each([
    ['uint8', 0.01],
    ['ubinary', 0.15],
  ])('%s: with their type they score like their floats', async (type, tolerance) => {
    const a = { ...(await stored('a dog', type)), type };
    const [[, like]] = (await post('/similarity', { a: 'a dog', b: ['a dog', 'a cat'] })).body.scores;
    const [[dog, cat]] = (await post('/similarity', { a, b: ['a dog', 'a cat'] })).body.scores;
    expect(dog).toBeGreaterThan(1 - tolerance);
    expect(Math.abs(cat - like)).toBeLessThan(tolerance);
  });

  test('of two of them the cat is not the dog', async () => {
    const [dog, cat] = [await stored('a dog', 'uint8'), await stored('a cat', 'uint8')];
    const typed = (item: VectorItem) => ({ ...item, type: 'uint8' });
    const { body } = await post('/similarity', { a: typed(dog), b: [dog, cat].map(typed) });
    expect(body.scores[0][0]).toBeCloseTo(1, 2);
    const [[like]] = (await post('/similarity', { a: 'a dog', b: ['a cat'] })).body.scores;
    expect(body.scores[0][1]).toBeCloseTo(like, 2);
    expect(like).toBeLessThan(0.9);
  });
});

test('an item of an /embed answer is taken as it is, also one that was stored before items had their space', async () => {
  const { data, space_id } = (await post('/embed', { input: 'a dog', types: ['float', 'base64'] })).body;
  const [{ truncation, space_id: _, ...bare }] = data;
  for (const a of [data[0], { ...bare, space_id }]) {
    expect((await post('/similarity', { a, b: 'a dog' })).body.scores[0][0]).toBeCloseTo(1, 5);
  }
});

describe('what is not in the vocabulary', () => {
  test('is not scored as the same', async () => {
    const { status, body } = await sendFile('/similarity', 'unknown-words-only.json');
    expect([status, body.code, body.error.param]).toEqual([422, 'not_understood', 'a.0']);
  });

  test('is told by the receipt', async () => {
    const { status, body } = await sendFile('/embed', 'unknown-words-embed.json');
    expect(status).toBe(200);
    const [thumb, arabic, korean] = body.data;
    expect(arabic.truncation).toMatchObject({ understood: true, tokens_unknown: 0 });
    for (const { truncation } of [thumb, korean]) {
      expect(truncation).toMatchObject({ understood: false });
      expect(truncation.tokens_unknown).toBe(truncation.tokens_seen - 2);
    }
  });

  test('is told by the receipt of one long word, with how much of the text it is', async () => {
    const { body } = await sendFile('/embed', 'one-long-word.json');
    expect(body.data[0].truncation).toMatchObject({ understood: false, tokens_unknown: 510, chars_unknown: 510 });
  });

  test('does not take the word with it that it is glued to', async () => {
    const { body } = await sendFile('/similarity', 'word-with-emoji.json');
    const [[catThumb, dog]] = body.scores;
    expect(dog).toBeGreaterThan(catThumb);
  });
});

describe('bodies of other services', () => {
  test('null means absent', async () => {
    const { status, body } = await sendFile('/embed', 'pseudo-null-voyage.json');
    expect([status, body.dimensions]).toEqual([200, 512]);
  });

  test("Voyage's body is answered at its door, and refused here by what is new in it", async () => {
    const { status, body } = await sendFile('/v1/embeddings', 'voyage-body.json');
    expect(status).toBe(200);
    expect(Buffer.from(body.data[0].embedding, 'base64')).toHaveLength(512 * 4);
    const refused = await sendFile('/embed', 'voyage-body.json');
    expect([refused.status, refused.body.code]).toEqual([400, 'unknown_key']);
    expect(refused.body.detail).toMatch(/input_type/);
  });

  test("TEI's bodies get TEI's bare answers", async () => {
    const { status, body } = await sendFile('/embed', 'tei-body.json');
    expect(status).toBe(200);
    expect(body).toHaveLength(1);
    expect(dot(body[0], body[0])).toBeCloseTo(1, 5);
    const scores = (await sendFile('/similarity', 'tei-similarity-body.json')).body;
    expect(scores).toHaveLength(2);
    expect(scores[1]).toBeGreaterThan(scores[0]);
  });

  test('token ids are refused by their place, with how to switch them off', async () => {
    const { status, body } = await sendFile('/embed', 'token-ids.json');
    expect([status, body.code, body.error.param]).toEqual([400, 'wrong_type', 'input.0']);
    expect(body.detail).toMatch(/number/);
    expect(body.detail).not.toMatch(/not a list/);
  });

  test('a text and an image in one item become one vector, and what is wrong with the image is said', async () => {
    const refused = await sendFile('/embed', 'text-and-image-item.json');
    expect(refused.status).toBe(422);
    expect(refused.body.detail).not.toMatch(/not known here/);
    const cat = file('header-4000x4000.jpg').toString('base64');
    const { body } = await post('/embed', { input: [{ text: 'a cat', image: cat }] });
    expect(body.data).toHaveLength(1);
  });

  test('content parts of chat messages are taken', async () => {
    const { status, body } = await sendFile('/embed', 'chat-content-item.json');
    expect([status, body.data?.[0]?.modality]).toEqual([200, 'image']);
  });

  test('a number beyond all bounds is called that', async () => {
    const { status, body } = await sendFile('/similarity', 'number-overflow.json');
    expect(status).toBe(400);
    expect(body.error.param).toBe('a.embedding.0');
    expect(body.detail).toMatch(/finite/);
  });
});

describe('bodies and forms', () => {
  test('a compressed body is decoded, or refused by the name of its encoding', async () => {
    const { status, body } = await sendFile('/embed', 'gzip-body.json.gz', {
      ...JSON_TYPE,
      'content-encoding': 'gzip',
    });
    expect([status, body.data?.length]).toEqual([200, 1]);
    const brotli = await send('/embed', 'x', { ...JSON_TYPE, 'content-encoding': 'br' });
    expect([brotli.status, brotli.body.code]).toEqual([415, 'unsupported_media_type']);
    expect(brotli.body.detail).toMatch(/br/);
  });

  test('a form field that is not taken is named', async () => {
    const type = { 'content-type': 'multipart/form-data; boundary=X' };
    const { status, body } = await sendFile('/embed', 'form-input-field.txt', type);
    expect([status, body.error.param]).toEqual([400, 'input']);
    expect(body.detail).toMatch(/text.*image/);
    const latin1 = await sendFile('/embed', 'form-latin1.txt', type);
    expect(latin1.status).toBe(400);
    expect(latin1.body.detail).toMatch(/UTF-8/);
  });
});

describe('images', () => {
  test('a bad one is named by its side', async () => {
    const { status, body } = await sendFile('/similarity', 'similarity-bad-image-side-b.json');
    expect([status, body.code, body.error.param]).toEqual([422, 'broken_image', 'b.1']);
  });

  test('a bad one does not cost the others, where that is asked for', async () => {
    const asked = document('one-bad-image-of-four.json');
    const { status, body } = await post('/embed', { ...asked, on_error: 'partial' });
    expect(status).toBe(200);
    expect(body.data.map(({ object }: { object: string }) => object)).toEqual([
      'embedding',
      'embedding',
      'error',
      'embedding',
    ]);
    expect(body.data[2].error).toMatchObject({ code: 'broken_image', param: 'input.2' });
    expect((await post('/embed', asked)).body.error).toMatchObject({ code: 'broken_image', param: 'input.2' });
  });

  test.each([
    ['photo.heic', 'HEIC'],
    ['scan.tiff', 'TIFF'],
    ['photo.bmp', 'BMP'],
  ])('%s is refused by its name, with what to do', async (name, kind) => {
    const { status, body } = await image(name);
    expect([status, body.code]).toEqual([415, 'unsupported_image_type']);
    expect(body.detail).toContain(kind);
    expect(body.detail).toMatch(/JPEG/);
  });

  test('an AVIF sequence is refused as one, or its first frame is taken', async () => {
    const { status, body } = await image('animation.avif');
    if (status !== 200) {
      expect([status, body.code]).toEqual([415, 'unsupported_image_type']);
      expect(body.detail).toMatch(/AVIF sequence|animated AVIF/i);
    }
  });

  test('a file without its end is refused in words of its own', async () => {
    const { status, body } = await image('no-end-mark.jpg');
    expect([status, body.code]).toEqual([422, 'broken_image']);
    expect(body.detail).toMatch(/end/);
    expect(body.detail).not.toMatch(/vips|libvips|buffer/i);
  });

  test.each(['header-4000x4000.jpg', 'half-with-end-mark.jpg'])('%s is taken, with a warning', async (name) => {
    const { status, body } = await image(name);
    expect(status).toBe(200);
    expect(body.data[0].picture.warnings).toHaveLength(1);
  });
});

describe('HTTP', () => {
  /** What came back for bytes as they are. */
  const raw = (request: string) =>
    new Promise<string>((resolve, reject) => {
      const { hostname, port } = new URL(server.url);
      let answer = '';
      const socket = connect(Number(port), hostname, () => socket.write(request));
      socket.on('data', (data) => {
        answer += data.toString('latin1');
      });
      socket.on('end', () => resolve(answer));
      socket.on('error', reject);
    });

  test('POST / answers with a document, also where it refuses', async () => {
    const { status, body, headers } = await post('/', {});
    expect(status).toBe(400);
    expect(headers.get('content-type')).toBe('application/problem+json');
    expect(body).toMatchObject({ error: expect.stringContaining('inputs'), error_type: 'Validation' });
    const other = await fetch(server.url, { method: 'DELETE' });
    expect([other.status, other.headers.get('allow')]).toEqual([405, 'GET, HEAD, POST, OPTIONS']);
    expect(await other.json()).toMatchObject({ code: 'method_not_allowed' });
  });

  test('HTTP/1.0 with a Host is answered', async () => {
    const answer = await raw('GET /health/live HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
    expect(answer).toMatch(/\{"status":"ok"\}$/);
    // Without one, nothing says whose service is meant: workerd refuses it, as the platform does.
    expect(await raw('GET /health/live HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.0 400 Bad Request\r\n/);
  });

  test('OPTIONS * asks about the server, whose one address in common is /', async () => {
    const answer = await raw('OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 204 /);
    expect(answer).toMatch(/\r\nallow: GET, HEAD, POST, OPTIONS\r\n/i);
  });

  test('no answer to an odd request shows a path of this machine', async () => {
    for (const line of ['GET //x/../y HTTP/1.1', 'TRACE /embed HTTP/1.1']) {
      const answer = await raw(`${line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
      expect(answer, line).toMatch(/^HTTP\/1\.1 [234]/);
      expect(answer, line).not.toMatch(/file:\/\/|node_modules/);
      expect(answer, line).not.toMatch(/^HTTP\/1\.1 5/);
    }
  });
});
