// Asking twice (ETag, If-None-Match) and asking first (dry_run) on /embed and /similarity, over a random static table.
import fc from 'fast-check';
import { beforeEach, describe, expect, it, test } from 'vitest';
import type { ImageEncoder } from '../../../../api/core/embed.ts';
import { CoreError } from '../../../../api/core/errors.ts';
import { createEdgeStore, type PlatformCache } from '../../../../api/worker/cache/edge.ts';
import { createMemoryStore } from '../../../../api/worker/cache/memory.ts';
import { createVectorCache } from '../../../../api/worker/cache/vector-cache.ts';
import type { FinishedRequest } from '../../../../api/worker/dependencies.ts';
import { type Admission, createAdmission } from '../../../../api/worker/middleware/admission.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { DryRunResponse } from '../../../../contracts/src/api/tasks/dry-run.ts';
import { appOf, DIMENSIONS, STATIC, tableModel } from '../table-model.ts';

const source = await tableModel();
/** A GIF of 5 x 7 whose last byte tells it from others; nobody here decodes it. */
const file = (mark: number) =>
  Uint8Array.from(`GIF89a\x05\0\x07\0${String.fromCharCode(mark)}`, (c) => c.charCodeAt(0));
const gif = (mark: number) => btoa(String.fromCharCode(...file(mark)));

let finished: FinishedRequest[] = [];
let admitted = 0;
let encoded = 0;
let isDown = false;
beforeEach(() => {
  [finished, admitted, encoded, isDown] = [[], 0, 0, false];
});

const counting = (signal: AbortSignal): ReturnType<Admission> => {
  const admit = createAdmission()(signal);
  return (work, run) => {
    admitted++;
    return admit(work, run);
  };
};
const admission: Admission = Object.assign(counting, { checkRoom() {} });
const images: ImageEncoder = async (files, { embedDim }) => {
  encoded += files.length;
  return files.map((each) =>
    isDown
      ? new CoreError('encoder_unavailable', 'The image encoder is away.')
      : {
          vector: Float32Array.from(
            { length: embedDim },
            (_, i) => (i === each.at(-1) ? 2 : 1) / Math.sqrt(embedDim + 3),
          ),
          ...{ width: 5, height: 7, type: 'gif' as const, warnings: [] },
        },
  );
};
const parts = { admission, images, observers: [(request: FinishedRequest) => void finished.push(request)] };
const { app } = appOf(source, parts);
const prices = { perMillionTokens: 20, perThousandImages: 3, currency: 'EUR' };
const priced = appOf(source, { ...parts, prices }).app;

interface Sent {
  path?: string;
  headers?: Record<string, string>;
  to?: typeof app;
}
const post = (body: string | object, { path = '/embed', headers = {}, to = app }: Sent = {}) => {
  const isForm = body instanceof FormData;
  return to.request(path, {
    method: 'POST',
    headers: { ...(isForm ? {} : { 'content-type': 'application/json' }), ...headers },
    body: isForm || typeof body === 'string' ? body : JSON.stringify(body),
  });
};
const tagOf = async (body: string | object, sent: Sent = {}) => {
  const response = await post(body, sent);
  expect(response.status, await response.clone().text()).toBe(200);
  return response.headers.get('etag') ?? '';
};
const codeOf = async (response: Response) => ErrorBody.parse(await response.json()).code;
const computed = () => [admitted, encoded];

const EMBED = { model: STATIC, input: ['a dog', { image: gif(1) }] };
const SIMILARITY = { model: STATIC, a: 'a dog', b: ['a cat', 'dog'], mode: 'top_k', top_k: 1 };

describe('asking twice', () => {
  test.each([
    ['/embed', EMBED],
    ['/similarity', SIMILARITY],
  ])('%s: what is there already is 304, without a body, a computation or a charge', async (path, body) => {
    const first = await post(body, { path });
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[\x21\x23-\x7e]{43,}"$/);
    expect(first.headers.get('cache-control')).toBe('private, no-cache');
    const before = computed();
    for (const named of [etag, `W/${etag}`, `"other", ${etag}`, `"other",W/${etag} ,"more"`, '*']) {
      const again = await post(body, { path, headers: { 'if-none-match': named, 'cache-control': 'no-cache' } });
      expect([again.status, await again.text()], named).toEqual([304, '']);
      expect(again.headers.get('etag')).toBe(etag);
      expect(again.headers.get('content-type')).toBeNull();
      expect(finished.at(-1)).toMatchObject({
        status: 304,
        cache: 'not_modified',
        tokens: 0,
        images: 0,
        model: STATIC,
      });
    }
    expect(computed()).toEqual(before);
  });

  it('computes where another answer is named, and says the right tag', async () => {
    const etag = await tagOf(EMBED);
    const [, images] = computed();
    for (const named of ['"other"', etag.slice(1, -1), `${etag.slice(0, -1)}x"`, '']) {
      const again = await post(EMBED, { headers: { 'if-none-match': named } });
      expect([again.status, again.headers.get('etag')]).toEqual([200, etag]);
    }
    expect(encoded).toBe((images ?? 0) + 4);
  });

  test.each([
    ['an unknown key', { ...EMBED, dimension: 1 }, 'unknown_key'],
    ['an empty text', { ...EMBED, input: ['a dog', ' '] }, 'empty_input'],
    ['a text that is not understood', { ...EMBED, input: '☃' }, 'not_understood'],
    ['a text that is too long', { ...EMBED, input: 'dog '.repeat(20), truncate: 'none' }, 'text_too_long'],
    ['no image', { ...EMBED, input: [{ image: btoa('nothing that is an image') }] }, 'not_an_image'],
    ['another model', { ...EMBED, model: 'other' }, 'model_not_found'],
    ['a body that stops', '{"input": ', 'malformed_json'],
  ])('a star does not excuse %s', async (_, body, code) => {
    const response = await post(body, { headers: { 'if-none-match': '*' } });
    expect(await codeOf(response)).toBe(code);
    expect(computed()).toEqual([0, 0]);
  });

  it('gives no tag to an answer in which an item failed, and computes it again', async () => {
    const body = { ...EMBED, on_error: 'partial' };
    isDown = true;
    const failed = await post(body);
    expect([failed.status, failed.headers.get('etag')]).toEqual([200, null]);
    isDown = false;
    expect(await tagOf(body)).not.toBe('');
    const bad = await post({ ...body, input: ['a dog', ' '] }, { headers: { 'if-none-match': '*' } });
    expect([bad.status, bad.headers.get('etag')]).toEqual([200, null]);
  });

  it('knows an image by its bytes, however they were written', async () => {
    const form = new FormData();
    form.append('model', STATIC);
    form.append('image', new Blob([file(1)]), 'one.gif');
    const tags = await Promise.all([
      tagOf({ model: STATIC, input: { image: gif(1) } }),
      tagOf({ model: STATIC, input: [{ image: `data:image/gif;base64,${gif(1)}` }] }),
      tagOf({ model: STATIC, input: [{ image: gif(1).replace(/=+$/, '') }] }),
      tagOf(form),
    ]);
    expect(new Set(tags).size).toBe(1);
    expect(await tagOf({ model: STATIC, input: { image: gif(2) } })).not.toBe(tags[0]);
  });

  it('is another one for another model, another version of it and another operation', async () => {
    const body = { input: 'a dog', model: STATIC };
    const newer = appOf(await tableModel({ changes: { version: '2' } })).app;
    const finer = appOf(await tableModel({ changes: { quantisation: { int8_scale: 100 } } })).app;
    const service = appOf(source, { version: '2' }).app;
    const tags = await Promise.all([undefined, newer, finer, service].map((to) => tagOf(body, to ? { to } : {})));
    expect(new Set(tags).size).toBe(4);
  });

  it('is the same whatever the order of keys, and another one for whatever else is asked', async () => {
    const options = fc.record(
      {
        types: fc.constantFrom(['float'], ['int8'], ['float', 'int8'], ['int8', 'float']),
        dimensions: fc.integer({ min: 1, max: DIMENSIONS }),
        truncate: fc.constantFrom('start', 'end'),
        on_error: fc.constantFrom('fail', 'partial'),
      },
      { requiredKeys: [] },
    );
    const item = fc.oneof(
      fc.constantFrom('a dog', 'dog', 'cat', 'a cat'),
      fc.integer({ min: 1, max: 9 }).map((mark) => ({ image: gif(mark) })),
      fc.constantFrom('dog', 'cat').map((text) => ({ content: [{ text }, { text: 'a dog' }] })),
    );
    const asked = fc.record({ input: fc.array(item, { minLength: 1, maxLength: 3 }), options });
    const bodyOf = ({ input, options: chosen }: typeof asked extends fc.Arbitrary<infer T> ? T : never) => ({
      model: STATIC,
      input,
      ...chosen,
    });
    await fc.assert(
      fc.asyncProperty(asked, asked, async (one, other) => {
        const body = bodyOf(one);
        const etag = await tagOf(body);
        const turned = Object.fromEntries(
          [...Object.entries(body), ['dimensions', one.options.dimensions ?? null]].reverse(),
        );
        expect(await tagOf(turned)).toBe(etag);
        const isSame = JSON.stringify(sorted(bodyOf(other))) === JSON.stringify(sorted(body));
        expect((await tagOf(bodyOf(other))) === etag).toBe(isSame);
      }),
      { numRuns: 60 },
    );
  });

  it('for similarity: sides, mode and numbers of ready vectors count', async () => {
    const { space_id } = (await source.manifest()) as { space_id: string };
    const ready = (first: number) => ({ embedding: [first, 1], space_id });
    const bodies = [
      { a: 'dog', b: ['cat'] },
      { a: 'cat', b: ['dog'] },
      { a: 'dog', b: ['cat'], mode: 'pairs' },
      { a: 'dog', b: ['cat'], dimensions: 8 },
      { a: 'dog', b: [ready(0.5)] },
      { a: 'dog', b: [ready(0.25)] },
      { a: ['dog', 'cat'], b: ['cat'] },
      { a: ['dog'], b: ['cat', 'cat'] },
    ];
    const path = '/similarity';
    const tags = await Promise.all(bodies.map((body) => tagOf({ ...body, model: STATIC }, { path })));
    expect(new Set(tags).size).toBe(bodies.length);
    const turned = { model: STATIC, b: [{ space_id, modality: null, embedding: [0.5, 1] }], a: ['dog'] };
    expect(await tagOf(turned, { path })).toBe(tags[4]);
    // Taken from an answer and not used, whatever it is.
    const whole = JSON.stringify({ model: STATIC, a: 'dog', b: [{ ...ready(0.5), index: 7, picture: 'PICTURE' }] });
    const deep = whole.replace('"PICTURE"', '['.repeat(20_000) + ']'.repeat(20_000));
    expect(await tagOf(deep, { path })).toBe(tags[4]);
  });
});

function sorted(value: object): unknown {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

describe('asking first', () => {
  const dry = async (body: object, { path = '/embed', ...sent }: Sent = {}) => {
    const response = await post(body, { ...sent, path: `${path}?dry_run=1` });
    return DryRunResponse.parse(await response.json());
  };

  it('says what is read, used and paid, and neither computes nor charges', async () => {
    const answer = await dry(
      {
        ...EMBED,
        input: ['a dog', { image: gif(1) }, { text: 'dog '.repeat(20), image: gif(2) }, 'zzzz dog'],
        dimensions: 3,
      },
      { to: priced },
    );
    const read = { truncated: false, cut_at_char: null, tokens_unknown: 0, chars_unknown: 0, understood: true };
    const picture = { type: 'gif', width: 5, height: 7 };
    expect(answer).toMatchObject({ object: 'dry_run', model: STATIC, dimensions: 3, pixels: 70 });
    expect(answer.items.slice(0, 3)).toEqual([
      { param: 'input.0', modality: 'text', truncation: { ...read, tokens_seen: 2, tokens_total: 2 } },
      { param: 'input.1', modality: 'image', picture },
      {
        param: 'input.2',
        modality: 'mixed',
        parts: [
          // The eighth "dog" ends after 7 * 4 + 3 characters.
          {
            modality: 'text',
            truncation: { ...read, truncated: true, tokens_seen: 8, tokens_total: 20, cut_at_char: 31 },
          },
          { modality: 'image', picture },
        ],
      },
    ]);
    const tokens = 2 + 8 + (answer.items[3]?.truncation?.tokens_seen ?? Number.NaN);
    expect(answer.usage).toEqual({ prompt_tokens: tokens, images: 2, total_tokens: tokens });
    expect(answer.price).toEqual({ amount: expect.closeTo((tokens * 20) / 1e6 + (2 * 3) / 1e3, 12), currency: 'EUR' });
    expect(computed()).toEqual([0, 0]);
    expect(finished.at(-1)).toMatchObject({ status: 200, tokens: 0, images: 0, model: STATIC });
  });

  it('tells what the answer then says', async () => {
    for (const [path, body] of [
      ['/embed', EMBED],
      ['/similarity', SIMILARITY],
    ] as const) {
      const { usage, model, dimensions, space_id, price } = await dry(body, { path });
      const answered = await (await post(body, { path })).json();
      expect(answered).toMatchObject({ usage, model, dimensions, space_id });
      expect(price).toBeUndefined();
    }
  });

  it('counts of a similarity what is no ready vector, both sides in order', async () => {
    const { space_id } = (await source.manifest()) as { space_id: string };
    const b = [{ embedding: [1, 0, 0, 0], space_id }, { image: gif(3) }];
    const answer = await dry({ model: STATIC, a: ['dog', 'a cat'], b }, { path: '/similarity' });
    expect(answer.items.map(({ param, modality }) => [param, modality])).toEqual([
      ['a.0', 'text'],
      ['a.1', 'text'],
      ['b.1', 'image'],
    ]);
    expect(answer).toMatchObject({ dimensions: 4, pixels: 35, usage: { prompt_tokens: 3, images: 1 } });
    expect(computed()).toEqual([0, 0]);
  });

  it('refuses what would be refused, or says it of the item', async () => {
    const body = { ...EMBED, input: ['dog', ' ', { image: btoa('no image at all') }] };
    expect(await codeOf(await post(body, { path: '/embed?dry_run=true' }))).toBe('empty_input');
    const answer = await dry({ ...body, on_error: 'partial' });
    expect(answer.items.map(({ param, error }) => [param, error?.code, error?.param])).toEqual([
      ['input.0', undefined, undefined],
      ['input.1', 'empty_input', 'input.1'],
      ['input.2', 'not_an_image', 'input.2'],
    ]);
    expect(answer.usage.prompt_tokens).toBe(1);
    const pairs = { model: STATIC, a: ['dog', 'cat'], b: 'dog', mode: 'pairs' };
    expect(await codeOf(await post(pairs, { path: '/similarity?dry_run=1' }))).toBe('invalid_request');
  });

  test.each(['0', 'false', 'yes', '', '1&dry_run=0'])(
    'dry_run=%s is refused, and nothing is embedded',
    async (value) => {
      for (const [path, body] of [
        ['/embed', EMBED],
        ['/similarity', SIMILARITY],
      ] as const) {
        const answer = ErrorBody.parse(await (await post(body, { path: `${path}?dry_run=${value}` })).json());
        expect([answer.code, answer.error.param]).toEqual(['invalid_request', 'dry_run']);
      }
      expect(computed()).toEqual([0, 0]);
    },
  );

  it('is no question for the bodies of another service', async () => {
    const response = await post({ inputs: 'a dog', model: STATIC }, { path: '/embed?dry_run=1' });
    expect(await codeOf(response)).toBe('invalid_request');
    expect(computed()).toEqual([0, 0]);
  });
});

describe('where it ran and what it waited for', () => {
  const told = async (body: object, { to = app, ...sent }: Sent = {}) => {
    const { headers } = await post(body, { ...sent, to });
    return [headers.get('x-served-by')?.split('; ') ?? [], headers.get('server-timing')] as const;
  };
  const text = { model: STATIC, input: 'a dog' };
  const place = (name: string) => [name, 'isolate="isolate-1"', `model="${STATIC}"`, 'version="1"'];

  it('says of an answer who made it, and nothing of waiting where there was none', async () => {
    expect(await told(text)).toEqual([place('edge'), null]);
    expect(await told(text, { headers: { 'if-none-match': '*' } })).toEqual([place('cache'), null]);
    expect(await told(text, { path: '/embed?dry_run=1' })).toEqual([place('edge'), null]);
    expect(await told({ ...text, input: ' ' })).toEqual([[], null]);
  });

  it.each([
    ['2 (final)', '2 (final)'],
    ['версія\n"2"', '%D0%B2%D0%B5%D1%80%D1%81%D1%96%D1%8F%0A%222%22'],
    ['100 %\\', '100 %25%5C'],
  ])('answers with a model of the version %j, as a header can hold it', async (version, written) => {
    const { app: to } = appOf(await tableModel({ changes: { version } }));
    expect((await told(text, { to }))[0].at(-1)).toBe(`version="${written}"`);
  });

  it('measures the image encoder and the queue, also where it is refused in the end', async () => {
    const slow: ImageEncoder = async (...call) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return images(...call);
    };
    const waiting: Admission = Object.assign(
      (...[, onWait]: Parameters<Admission>): ReturnType<Admission> =>
        (_, run) => {
          onWait?.(12);
          onWait?.(5);
          return run();
        },
      { checkRoom() {} },
    );
    const { app: to } = appOf(source, { ...parts, images: slow, admission: waiting });
    const [by, timing] = await told(EMBED, { to });
    expect(by).toEqual(place('encoder'));
    const durations = Object.fromEntries(
      (timing ?? '').split(', ').map((leg) => [leg.split(';dur=')[0], Number(leg.split(';dur=')[1])]),
    );
    expect(durations).toEqual({ queue: 17, encoder: expect.any(Number) });
    // Timers of this runtime may fire a millisecond early by the clock.
    expect(durations.encoder).toBeGreaterThanOrEqual(29);
    isDown = true;
    expect((await told(EMBED, { to }))[1]).toMatch(/encoder;dur=\d+/);
  });

  it('measures look-ups in the cache of the data centre, and says what came from there', async () => {
    const kept = new Map<string, { body: ArrayBuffer; headers: Headers }>();
    const cache: PlatformCache = {
      async match(address) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        const entry = kept.get(address);
        return entry && new Response(entry.body, { headers: entry.headers });
      },
      async put(address, response) {
        kept.set(address, { body: await response.arrayBuffer(), headers: response.headers });
      },
    };
    const writes: Promise<unknown>[] = [];
    const isolate = () => {
      const edge = createEdgeStore({ cache, background: (work) => void writes.push(work) });
      return appOf(source, { ...parts, cache: createVectorCache({ memory: createMemoryStore(1 << 20), edge }) }).app;
    };
    expect(await told(text, { to: isolate() })).toEqual([place('edge'), expect.stringMatching(/^cache;dur=\d+$/)]);
    await Promise.all(writes);
    const other = isolate();
    const [by, timing] = await told(text, { to: other });
    expect(by).toEqual(place('cache'));
    expect(Number(/^cache;dur=(\d+)$/.exec(timing ?? '')?.[1])).toBeGreaterThanOrEqual(19);
    expect(await told(text, { to: other })).toEqual([place('cache'), null]);
  });
});
