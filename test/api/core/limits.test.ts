// Limits of one request, by plan: tokens of all its texts together, and which tier answers at all.
import { describe, expect, test } from 'vitest';
import { classify } from '../../../api/core/classify.ts';
import { embed } from '../../../api/core/embed.ts';
import { reportLimits } from '../../../api/core/limits.ts';
import { chooseModel, type Model } from '../../../api/core/model.ts';
import { similarity } from '../../../api/core/similarity/similarity.ts';
import { tokenize } from '../../../api/core/tokenize.ts';
import { LimitsReport, PLAN_LIMITS } from '../../../contracts/src/api/limits.ts';
import { notingEngines, SPACE, wordModel } from './word-model.ts';

/** Of words with two special tokens around a text in the student. */
const textOf = (tokens: number) => Array(tokens).fill('dog').join(' ');
const small: Model = {
  ...wordModel(),
  limits: { ...PLAN_LIMITS.paid, tokens: { student: 50, tiny: 80, static: 100 } },
};
const free: Model = { ...wordModel(), limits: PLAN_LIMITS.free };
const refusal = (work: Promise<unknown>) => work.then(() => undefined).catch((error) => error);

describe('the tokens of a request', () => {
  test('are counted together, special ones included, and as many as the limit are taken', async () => {
    const engines = notingEngines();
    await embed(small, engines, { input: [textOf(23), textOf(23)] });
    expect(engines.permits).toEqual([50]);
    const error = await refusal(embed(small, engines, { input: [textOf(23), textOf(24)] }));
    expect(error).toMatchObject({ code: 'too_many_tokens' });
    expect(error.message).toMatch(/51 tokens.* 50\. Split it into 2/);
  });

  test('that are cut off are not counted', async () => {
    await expect(embed(small, notingEngines(), { input: [textOf(5000)] })).resolves.toBeDefined();
  });

  test('are counted by tier', async () => {
    await embed(small, notingEngines(), { input: [textOf(30), textOf(30), textOf(30)], model: 'words-static' });
    const many = { input: [textOf(30), textOf(30), textOf(30), textOf(30)], model: 'words-static' };
    expect(await refusal(embed(small, notingEngines(), many))).toMatchObject({ code: 'too_many_tokens' });
  });

  test('are those of both sides of a comparison, and nothing is encoded where they are too many', async () => {
    const engines = notingEngines();
    const sides = { a: [textOf(23)], b: [textOf(24)] };
    expect(await refusal(similarity(small, engines, sides))).toMatchObject({ code: 'too_many_tokens' });
    expect(engines.permits).toEqual([]);
  });
});

describe('the pairs of a request', () => {
  const six: Model = { ...wordModel(), limits: { ...PLAN_LIMITS.paid, pairs: 6 } };
  const items = (count: number) => Array.from({ length: count }, (_, i) => `dog ${i}`);

  test.each(['matrix', 'top_k'] as const)(
    'are those of both sides in mode %s, refused before anything is encoded',
    async (mode) => {
      const engines = notingEngines();
      const error = await refusal(similarity(six, engines, { a: items(2), b: items(4), mode }));
      expect(error).toMatchObject({ code: 'too_many_items', details: { param: 'a' } });
      expect(error.message).toContain('2 x 4 = 8 pairs; a request may have 6');
      expect(engines.permits).toEqual([]);
      await expect(similarity(six, engines, { a: items(2), b: items(3), mode })).resolves.toBeDefined();
    },
  );

  test('are as many as a side in mode pairs', async () => {
    const answer = await similarity(six, notingEngines(), { a: items(6), b: items(6), mode: 'pairs' });
    expect(answer).toMatchObject({ scores: Array(6).fill(expect.any(Number)) });
  });

  test('are items with labels where they are classified', async () => {
    const asked = { input: items(2), labels: ['dog', 'cat', 'boat'] };
    await expect(classify(six, notingEngines(), asked)).resolves.toBeDefined();
    const error = await refusal(classify(six, notingEngines(), { ...asked, input: items(3) }));
    expect(error).toMatchObject({ code: 'too_many_items', details: { param: 'input' } });
    expect(error.message).toContain('input and labels make 3 x 3 = 9 pairs');
  });

  test('of two full sides of ready vectors, which no isolate holds the scores of, are refused', async () => {
    const vector = { embedding: [1, ...Array(7).fill(0)], space_id: SPACE };
    const side = Array(PLAN_LIMITS.paid.items).fill(vector);
    const error = await refusal(similarity(wordModel(), notingEngines(), { a: side, b: side }));
    expect(error).toMatchObject({ code: 'too_many_items' });
  });
});

describe('on the free plan', () => {
  test('as many texts are taken apart as may be embedded', async () => {
    const input = Array(PLAN_LIMITS.free.items + 1).fill('dog');
    const error = await refusal(tokenize(free, notingEngines(), { input, field: 'inputs' }));
    expect([error.code, error.details.param]).toEqual(['too_many_items', 'inputs']);
    expect(error.message).toMatch(/ 8 items on the free plan; 9 were sent/);
    await expect(tokenize(free, notingEngines(), { input: input.slice(1) })).resolves.toBeDefined();
    await expect(tokenize({ ...wordModel() }, notingEngines(), { input })).resolves.toBeDefined();
  });

  test('the static tier answers where no model is named, and alone is listed', () => {
    expect(chooseModel(free, undefined).id).toBe('words-static');
    expect(() => chooseModel(free, 'words')).toThrow(/free plan/);
  });

  test('a request holds few items', async () => {
    const input = Array(PLAN_LIMITS.free.items + 1).fill('dog');
    const error = await refusal(embed(free, notingEngines(), { input }));
    expect(error).toMatchObject({ code: 'too_many_items' });
    expect(error.message).toContain(String(PLAN_LIMITS.free.items));
    await expect(embed(free, notingEngines(), { input: input.slice(1) })).resolves.toBeDefined();
  });
});

test.each([
  ['paid', wordModel(), ['words', 'words-static']],
  ['free', free, ['words-static']],
])('the limits of the %s plan are reported with the models that answer', (plan, model, ids) => {
  const report = LimitsReport.parse(reportLimits(model, null));
  expect(report.plan).toBe(plan);
  expect(report.models.map(({ id }) => id)).toEqual(ids);
  for (const { id, tokens } of report.models) {
    expect(tokens).toBe(model.limits.tokens[id === 'words' ? 'student' : 'static']);
  }
});
