// When something behind the door is broken, slow or busy, the answer says so with its own code.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { errorDocument } from '../../../api/core/error-document.ts';
import { CoreError } from '../../../api/core/errors.ts';
import { readFrame } from '../../../api/core/images/frame.ts';
import { fromBase64 } from '../../../api/core/vectors/base64.ts';
import { sha256 } from '../../../api/registry/digest.ts';
import { createKeyCache } from '../../../api/worker/access/key-cache.ts';
import { policyOf } from '../../../api/worker/access/policy.ts';
import { createImageRouter } from '../../../api/worker/images/router.ts';
import { createAccess } from '../../../api/worker/middleware/access.ts';
import { createAdmission } from '../../../api/worker/middleware/admission.ts';
import { PartialEmbedResponse } from '../../../contracts/src/api/embed.ts';
import { ERROR_STATUS, ErrorBody, type ErrorCode } from '../../../contracts/src/api/error.ts';
import type { FAULTS } from '../../conformance/requests.ts';
import { encodedImage, refusedImage } from '../../support/encode-results.ts';
import { keyNamespace } from './key-namespace.ts';
import { appOf, DIMENSIONS, STATIC, tableModel } from './table-model.ts';

const whole = await tableModel();
const picture = { image: btoa('GIF89a\x05\0\x05\0') };
const encoder = (deadlineMs?: number) =>
  createImageRouter({ lambda_cpu: 'http://encoder.invalid' }, { deadlineMs }).encode;
const space_id = ((await whole.manifest()) as { space_id: string }).space_id;
const answers = (status: number, body: object) => async () => Response.json(body, { status });
const ONE = '\0\0\x80\x3f';
const NAN = '\0\0\xc0\x7f';
const digest = await sha256(fromBase64(picture.image).slice());
const ok = (length: number, number = ONE) => encodedImage(btoa(number.repeat(length)), { digest });

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** Each brings its code about. `Record` makes the compiler count them. */
const faults: Record<(typeof FAULTS)[number], [why: string, ask: () => Response | Promise<Response>][]> = {
  body_timeout: [
    [
      'a body that never goes on',
      async () => {
        vi.useFakeTimers();
        const answer = appOf(whole).app.request('/embed', { method: 'POST', body: stalled() });
        await vi.advanceTimersByTimeAsync(10_000);
        vi.useRealTimers();
        return answer;
      },
    ],
    [
      'a body that goes on a byte at a time',
      async () => {
        vi.useFakeTimers();
        const answer = appOf(whole).app.request('/embed', { method: 'POST', body: dripping() });
        await vi.advanceTimersByTimeAsync(31_000);
        vi.useRealTimers();
        return answer;
      },
    ],
  ],
  overloaded: [
    [
      'another request computes, and none may wait',
      () => {
        const admission = createAdmission({ waitMs: 0, patience: 0 });
        void admission(new AbortController().signal)({ kind: 'student', size: 1000 }, () => new Promise(() => {}));
        return appOf(whole, { admission }).post('/embed', { input: 'dog', model: STATIC });
      },
    ],
    ['the image encoder is busy', () => askForImage(answers(429, {}))],
  ],
  internal_error: [
    [
      'a table of a size that its manifest denies',
      async () => {
        const manifest = structuredClone(await whole.manifest()) as { static: { table: { rows: number } } };
        manifest.static.table.rows++;
        vi.spyOn(console, 'error').mockImplementation(() => {});
        const source = { ...whole, manifest: async () => manifest };
        return appOf(source).post('/embed', { input: 'a dog', model: STATIC });
      },
    ],
  ],
  non_finite_embedding: [
    [
      'a table of zeros',
      async () => appOf(await tableModel({ zero: true })).post('/embed', { input: 'a dog', model: STATIC }),
    ],
    [
      'an image encoder that answers NaN',
      () => askForImage(answers(200, { space_id, results: [ok(DIMENSIONS, NAN)] })),
    ],
  ],
  encoder_error: [
    ['something else answers', () => askForImage(async () => new Response('<html>'))],
    ['it fails', () => askForImage(answers(500, {}))],
    ['too few results', () => askForImage(answers(200, { space_id, results: [] }))],
    ['vectors of another length', () => askForImage(answers(200, { space_id, results: [ok(3)] }))],
    [
      'another space',
      () => askForImage(answers(200, { space_id: `sha256:${'0'.repeat(64)}`, results: [ok(DIMENSIONS)] })),
    ],
  ],
  encoder_unavailable: [
    ['none is configured', () => appOf(whole).post('/embed', { input: picture })],
    ['nothing listens', () => askForImage(() => Promise.reject(new TypeError('refused')))],
    ['it is starting', () => askForImage(answers(503, {}))],
  ],
  encoder_timeout: [
    [
      'it never answers',
      () =>
        askForImage(
          (_, init) =>
            new Promise((_, fail) => init?.signal?.addEventListener('abort', () => fail(init.signal?.reason))),
          20,
        ),
    ],
  ],
  keys_unavailable: [
    [
      'the namespace of keys does not answer',
      async () => {
        vi.spyOn(console, 'error').mockImplementation(() => {});
        const namespace = keyNamespace();
        const key = await namespace.add();
        namespace.isDown = true;
        const access = createAccess({ policy: { who: 'keys' }, keys: createKeyCache(namespace) });
        return appOf(whole, { access }).app.request('/v1/models', { headers: { 'x-api-key': key } });
      },
    ],
  ],
  not_configured: [
    [
      'nothing says who may ask',
      () =>
        appOf(whole, { access: createAccess({ policy: policyOf({ access: undefined, hasKeys: false }) }) }).app.request(
          '/v1/models',
        ),
    ],
  ],
  range_not_satisfiable: [
    [
      'a range behind the end of a file that a service of bulk jobs keeps',
      () => {
        const error = new CoreError('range_not_satisfiable', 'The file has 9 bytes.', { size: 9 });
        const { status, headers, body } = errorDocument(error, 'request-1');
        const jobs = async () => Response.json(body, { status, headers });
        return appOf(whole, { jobs }).app.request('/v1/jobs/job_1/files/part', { headers: { range: 'bytes=9-' } });
      },
    ],
  ],
  model_unavailable: [
    [
      'a file that is not the one its manifest names',
      () => appOf({ ...whole, read: async () => new ArrayBuffer(8) }).post('/embed', { input: 'a dog' }),
    ],
    ['a manifest that is none', () => appOf({ ...whole, manifest: async () => ({}) }).app.request('/v1/models')],
    [
      'golden vectors that it does not reproduce',
      async () => {
        const manifest = structuredClone(await whole.manifest()) as { golden: object[] };
        manifest.golden = [
          { text: 'a dog', tier: 'static', embedding: Array(DIMENSIONS).fill(0.25), min_cosine: 0.99 },
        ];
        return appOf({ ...whole, manifest: async () => manifest }).app.request('/health/ready');
      },
    ],
  ],
};

function stalled(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{"input": ')) });
}

function dripping(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      await new Promise((wait) => setTimeout(wait, 5000));
      controller.enqueue(Uint8Array.of(32));
    },
  });
}

function askForImage(answer: typeof fetch, deadlineMs?: number) {
  vi.stubGlobal('fetch', answer);
  return appOf(whole, { images: encoder(deadlineMs) }).post('/embed', { input: picture });
}

describe('an image encoder that fails a request with on_error partial', () => {
  const files = Array.from({ length: 20 }, (_, i) => ({ image: btoa(`GIF89a\x05\0\x05\0${i}`) }));
  const UNIT = btoa(ONE + '\0\0\0\0'.repeat(DIMENSIONS - 1));
  const ask = async (answer: typeof fetch) => {
    vi.stubGlobal('fetch', answer);
    const body = { input: [...files, 'a dog'], model: STATIC, on_error: 'partial' };
    const response = await appOf(whole, { images: encoder() }).post('/embed', body);
    expect(response.status).toBe(200);
    return PartialEmbedResponse.parse(await response.json());
  };
  const filesOf = (init: RequestInit | undefined) => readFrame(init?.body as Uint8Array).files;
  /** Encodes every image of a call but those that `isBad`. */
  const encode = async (init: RequestInit | undefined, isBad: (index: number) => boolean) => {
    const results = filesOf(init).map(async (file, index) => {
      const own = { digest: await sha256(file.slice()) };
      const refused = refusedImage({ code: 'broken_image', message: 'it is cut off' });
      return isBad(index) ? { ...refused, ...own } : encodedImage(UNIT, own);
    });
    return Response.json({ space_id, results: await Promise.all(results) });
  };

  test('costs the images and not the texts', async () => {
    const { data, failed, usage } = await ask(answers(503, {}));
    expect([failed, usage.images, data.at(-1)?.object]).toEqual([20, 0, 'embedding']);
    const error = { code: 'encoder_unavailable', param: 'input.7', retry_after_seconds: 5 };
    expect(data[7]).toMatchObject({ object: 'error', index: 7, error });
  });

  test('leaves what it answered, and is asked no more than once again', async () => {
    let calls = 0;
    const { data, failed } = await ask(async (_, init) => {
      calls += 1;
      const isFirst = filesOf(init)[0]?.at(-1) === '0'.charCodeAt(0);
      return isFirst ? encode(init, () => false) : new Response('', { status: 503 });
    });
    // Three calls and the request's one second try.
    expect([calls, failed]).toEqual([4, 12]);
    expect(data.slice(0, 8).every(({ object }) => object === 'embedding')).toBe(true);
  });

  test('a bad file does not keep those after it from being encoded', async () => {
    const { failed, usage } = await ask((_, init) => encode(init, (index) => index === 0));
    expect([failed, usage.images]).toEqual([3, 17]);
  });
});

const all = Object.entries(faults).flatMap(([code, cases]) =>
  cases.map(([why, ask]) => ({ code: code as ErrorCode, why, ask })),
);
describe('a fault has its own code', () => {
  test.each(all)('$code: $why', async ({ code, ask }) => {
    const response = await ask();
    const { error, detail, ...body } = ErrorBody.parse(await response.json());
    expect(body).toMatchObject({ code, status: ERROR_STATUS[code] });
    expect([response.status, error.message]).toEqual([ERROR_STATUS[code], detail]);
    // Waiting configures nothing.
    if (code === 'not_configured') expect(response.headers.get('retry-after')).toBeNull();
    else if ([429, 503, 504].includes(response.status)) expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
    if (response.status === 500) expect(response.headers.get('x-should-retry')).toBe('false');
  });

  test('what an internal error was stays inside', async () => {
    const logged = vi.spyOn(console, 'error').mockImplementation(() => {});
    const images = () => Promise.reject(new Error('secret path'));
    const response = await appOf(whole, { images }).post('/embed', { input: picture });
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
    expect(String(logged.mock.calls)).toContain('secret path');
  });
});
