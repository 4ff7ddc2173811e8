// Items of several parts, items that fail among others, and texts that are not understood.
import { describe, expect, test } from 'vitest';
import { type EmbedInput, embed, embedPartially, type ImageEncoder } from '../../../api/core/embed.ts';
import { CoreError } from '../../../api/core/errors.ts';
import type { Item } from '../../../api/core/items/items.ts';
import { similarity } from '../../../api/core/similarity/similarity.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { DIMENSIONS, notingEngines, wordModel } from './word-model.ts';

const model = wordModel();
const run = (input: Item[], options: Partial<EmbedInput> = {}) => embed(model, notingEngines(), { input, ...options });
const vectorOf = async (item: Item, options: Partial<EmbedInput> = {}): Promise<number[]> => {
  const { embedded } = await run([item], options);
  return Array.from(embedded[0]?.embedding ?? []);
};
const refusal = (input: Item[], options: Partial<EmbedInput> = {}) =>
  run(input, options).then(
    () => 'taken',
    ({ code, message, details }: CoreError) => ({ code, message, details }),
  );
/** A GIF's header: 5 x 5 pixels. The engine of the tests draws a vector by the size of the file. */
const gif = (filler: number) =>
  Uint8Array.from([...'GIF89a\x05\0\x05\0'].map((c) => c.charCodeAt(0)).concat(Array(filler).fill(0)));

/** In double precision and step by step, as the documentation says it. */
function fused(vectors: number[][], dimensions: number): number[] {
  const unit = (vector: number[]) => vector.map((value) => value / Math.hypot(...vector));
  const mean = Array.from(
    { length: DIMENSIONS },
    (_, i) => vectors.reduce((sum, v) => sum + (v[i] ?? 0), 0) / vectors.length,
  );
  return unit(unit(mean).slice(0, dimensions));
}

describe('an item of several parts', () => {
  const text = 'a red boat';
  const image = gif(3);
  const apart = async () => [await vectorOf(text), await vectorOf({ image })];

  test.each([
    ['as a pair', { text, image }],
    ['as content', { content: [{ text }, { image }] }],
  ])('%s has the mean of their unit vectors, at unit length', async (_, item) => {
    const expected = fused(await apart(), DIMENSIONS);
    for (const [i, value] of (await vectorOf(item)).entries()) expect(value).toBeCloseTo(expected[i] ?? 9, 6);
  });

  test('is added at full length and cut afterwards', async () => {
    const cut = await vectorOf({ text, image }, { dimensions: 64 });
    const expected = fused(await apart(), 64);
    expect(cut).toHaveLength(64);
    for (const [i, value] of cut.entries()) expect(value).toBeCloseTo(expected[i] ?? 9, 6);
  });

  test('says of every part what it was and how much of it was read; usage counts all parts', async () => {
    const long = 'dog '.repeat(40);
    const { embedded, usage } = await run([{ content: [{ text: long }, { image }, { text }] }, text]);
    const read = { truncated: false, tokens_seen: 5, tokens_total: 5, cut_at_char: null, understood: true };
    expect(embedded[0]?.modality).toBe('mixed');
    expect(embedded[0]?.truncation).toBeUndefined();
    expect(embedded[0]?.parts).toMatchObject([
      { modality: 'text', truncation: { truncated: true, tokens_seen: 32, tokens_total: 42, cut_at_char: 119 } },
      { modality: 'image' },
      { modality: 'text', truncation: read },
    ]);
    expect(embedded[1]).toMatchObject({ modality: 'text', truncation: read });
    expect(usage).toEqual({ prompt_tokens: 32 + 5 + 5, images: 1, total_tokens: 42 });
  });

  test('has the modality of its parts where all are of one', async () => {
    const { embedded } = await run([{ content: [{ text }, { text }] }, { content: [{ image }] }]);
    expect(embedded.map(({ modality }) => modality)).toEqual(['text', 'image']);
  });

  test('is refused with the place of the part that is at fault', async () => {
    const bad = { image: 'https://example.com/dog.jpg' };
    expect(await refusal([text, { content: [{ text }, bad] }])).toMatchObject({
      code: 'not_an_image',
      message: expect.stringMatching(/^Image 1\.content\.1: .*links are not fetched/),
      details: { item: 1, param: 'input.1.content.1' },
    });
    expect(await refusal([{ text: ' ', image }])).toMatchObject({ details: { item: 0, param: 'input.0.text' } });
    expect(await refusal([{ content: [] }], { field: 'inputs' })).toMatchObject({
      code: 'empty_input',
      details: { item: 0, param: 'inputs.0' },
    });
  });

  test('counts as many items as it has parts', async () => {
    const parts = Array(LIMITS.items).fill({ text });
    expect(await refusal([{ content: parts }])).toBe('taken');
    expect(await refusal([{ content: parts }, text])).toMatchObject({ code: 'too_many_items' });
    expect(await refusal([{ content: Array(LIMITS.images + 1).fill({ image }) }])).toMatchObject({
      code: 'too_many_items',
      details: { param: 'input' },
    });
  });

  test('is scored like any other, without a calibrated score where it is mixed', async () => {
    const answer = await similarity(model, notingEngines(), { a: [{ text, image }, text], b: [text], mode: 'matrix' });
    if (answer.mode !== 'matrix') throw new Error('not the mode that was asked for');
    const [vector, whole] = [await vectorOf({ text, image }), await vectorOf(text)];
    const cosine = vector.reduce((sum, value, i) => sum + value * (whole[i] ?? 0), 0);
    expect(answer.scores[0]?.[0]).toBeCloseTo(cosine, 6);
    expect(answer.calibrated).toEqual([[null], [expect.any(Number)]]);
  });
});

describe('a text with words that the model does not know', () => {
  const receiptOf = async (text: string, options: Partial<EmbedInput> = {}) =>
    (await run([text], options)).embedded[0]?.truncation;

  test('says how many tokens are unknown and how much of the text they cover', async () => {
    expect(await receiptOf('a dog')).toMatchObject({ tokens_unknown: 0, chars_unknown: 0, understood: true });
    expect(await receiptOf('a ?qqq dog ?zz')).toMatchObject({ tokens_unknown: 2, chars_unknown: 7, understood: true });
  });

  test('tells of the part that was read only', async () => {
    const text = `${'?q '.repeat(30)}dog`;
    expect(await receiptOf(text, { truncate: 'end' })).toMatchObject({ tokens_unknown: 30, understood: false });
    expect(await receiptOf(text, { truncate: 'start' })).toMatchObject({ tokens_unknown: 29, understood: true });
  });

  test('only is flagged by embed and refused where there is nothing to score', async () => {
    expect(await receiptOf(`?${'q'.repeat(39_999)}`)).toMatchObject({
      tokens_seen: 3,
      tokens_unknown: 1,
      chars_unknown: 40_000,
      understood: false,
    });
    const error = await similarity(model, notingEngines(), { a: ['a dog'], b: ['a cat', '?q ?z'] }).catch((e) => e);
    expect(error).toMatchObject({
      code: 'not_understood',
      message: expect.stringContaining('b.1 holds no word that the model knows'),
      details: { param: 'b.1', item: 1 },
    });
  });

  test('only is refused by the static tier, which would have no vector', async () => {
    expect(await refusal(['a dog', '?q'], { model: 'words-static' })).toMatchObject({
      code: 'not_understood',
      details: { param: 'input.1' },
    });
  });
});

describe('with on_error partial', () => {
  const partial = (input: Item[], engines = notingEngines(), options: Partial<EmbedInput> = {}) =>
    embedPartially(model, engines, { input, ...options });
  const image = gif(3);

  test('good items are answered and bad ones have their own error in their place', async () => {
    const input = [
      'a dog',
      ' ',
      { image: 'https://example.com/x.jpg' },
      { image },
      { text: 'a cat', image: new Uint8Array() },
    ];
    const { outcomes, usage } = await partial(input);
    const { embedded } = await run(['a dog', { image }]);
    expect([outcomes[0], outcomes[3]]).toEqual(embedded);
    expect(outcomes[1]).toMatchObject({ code: 'empty_input', details: { item: 1, param: 'input.1' } });
    expect(outcomes[2]).toMatchObject({ code: 'not_an_image', details: { item: 2, param: 'input.2' } });
    expect(outcomes[4]).toMatchObject({ code: 'empty_input', details: { item: 4, param: 'input.4.image' } });
    expect(usage).toEqual({ prompt_tokens: 4, images: 1, total_tokens: 4 });
  });

  test('what the image encoder refuses costs its item only, whose texts were computed meanwhile and are not counted', async () => {
    const broken = gif(9);
    const images: ImageEncoder = async (files, space, options) => {
      expect(options).toEqual({ onError: 'partial' });
      const vectors = await notingEngines().images(files, space);
      return vectors.map((vector, i) =>
        files[i] === broken ? new CoreError('broken_image', 'it is cut off.') : vector,
      );
    };
    const engines = { ...notingEngines(), images };
    const { outcomes, usage } = await partial(['a dog', { text: 'a b c d e', image: broken }, { image }], engines);
    expect(outcomes.map((outcome) => outcome instanceof CoreError)).toEqual([false, true, false]);
    expect(outcomes[1]).toMatchObject({
      message: 'Image 1.image: it is cut off.',
      details: { param: 'input.1.image' },
    });
    expect([engines.permits, usage.prompt_tokens, usage.images]).toEqual([[11], 4, 1]);
  });

  test('all items may be bad', async () => {
    const { outcomes, usage } = await partial(['', ' ']);
    expect(outcomes).toMatchObject([{ code: 'empty_input' }, { code: 'empty_input' }]);
    expect(usage).toEqual({ prompt_tokens: 0, images: 0, total_tokens: 0 });
  });

  test('what is wrong with the request as a whole still fails', async () => {
    await expect(partial(['a dog'], notingEngines(), { model: 'other' })).rejects.toMatchObject({
      code: 'model_not_found',
    });
    await expect(partial(Array(LIMITS.items + 1).fill('a'))).rejects.toMatchObject({ code: 'too_many_items' });
    const busy = { ...notingEngines(), admit: () => Promise.reject(new CoreError('overloaded', 'try later')) };
    await expect(partial(['a dog'], busy)).rejects.toMatchObject({ code: 'overloaded' });
  });
});
