// Words that the committed model does not know are said, and what is not there looks unsure: the real model through its doors.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EmbedResponse, PartialEmbedResponse } from '../../contracts/src/api/embed.ts';
import { ErrorBody } from '../../contracts/src/api/error.ts';
import { ModelList } from '../../contracts/src/api/models.ts';
import { PartialSimilarityResponse, SimilarityResponse } from '../../contracts/src/api/similarity.ts';
import { ClassifyResponse } from '../../contracts/src/api/tasks/classify.ts';
import { type LocalServer, startLocalServer } from '../support/local-server.ts';

const SAMPLES = join(import.meta.dirname, '../../api/playground/samples');
const NAMES = ['astronaut', 'cat', 'coffee', 'flower', 'galaxies', 'raccoon', 'rocket', 'temple'];
const photo = (name: string) => readFileSync(join(SAMPLES, `${name}.jpg`));
const photos = NAMES.map((name) => ({ image: photo(name).toString('base64') }));
/** The scan data ends in the middle. */
const broken = { image: photo('cat').subarray(0, 2000).toString('base64') };
const GIF = 'data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=';

let server: LocalServer;
beforeAll(async () => {
  server = await startLocalServer();
}, 120_000);
afterAll(() => server?.stop());

async function post(path: string, body: unknown): Promise<unknown> {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}
const embed = async (input: unknown, more = {}) => EmbedResponse.parse(await post('/embed', { input, ...more })).data;
const matrix = async (body: object) => {
  const answer = SimilarityResponse.parse(await post('/similarity', body));
  if (answer.mode !== 'matrix') throw new Error('not the default mode');
  return answer;
};
const refusal = async (path: string, body: object) => ErrorBody.parse(await post(path, body));

describe('words that the model does not know', () => {
  test('are counted in the receipt, however long they are', async () => {
    for (const item of await embed(['👍', '한국어'], { dimensions: 64 })) {
      const { truncation } = item;
      expect(truncation).toMatchObject({ tokens_unknown: (truncation?.tokens_seen ?? 0) - 2, understood: false });
    }
    const [long] = await embed('x'.repeat(40_000));
    expect(long?.truncation).toMatchObject({ tokens_unknown: 510, chars_unknown: 510, understood: false });
    for (const known of await embed(['a dog in the snow', 'كلب'])) {
      expect(known.truncation).toMatchObject({ tokens_unknown: 0, chars_unknown: 0, understood: true });
    }
  });

  test('alone have no score', async () => {
    const { code, error } = await refusal('/similarity', { a: '👍', b: ['👎', '🔥', 'كلب', 'कुत्ता', 'สุนัข', 'собака'] });
    expect([code, error.param]).toEqual(['not_understood', 'a.0']);
    expect((await refusal('/similarity', { a: 'a dog', b: ['a cat', '🔥'] })).error.param).toBe('b.1');
  });

  test('do not hide a word that they are glued to', async () => {
    const { scores } = await matrix({ a: 'dog👍', b: ['cat👍', 'dog'] });
    expect(scores[0]?.[1]).toBeGreaterThan(scores[0]?.[0] ?? 2);
  });

  test('move a vector of the static tier little, and have different ones alone', async () => {
    const model = 'edge-clip-small-static';
    const { scores } = await matrix({ a: ['dog 👍', 'dog👍'], b: 'dog', model });
    for (const score of scores.flat()) expect(score).toBeGreaterThan(0.99);
    const [thumb, fire, korean] = await embed(['👍', '🔥', '한국어'], { model });
    expect(thumb?.embedding).not.toEqual(fire?.embedding);
    expect(korean?.embedding).not.toEqual(fire?.embedding);
    expect(thumb?.truncation).toMatchObject({ understood: false });
  });

  test('are to be expected outside of the languages that /v1/models lists', async () => {
    const { data } = ModelList.parse(await (await fetch(`${server.url}/v1/models`)).json());
    const languages = data[0]?.languages ?? [];
    expect(languages.map(({ language }) => language)).toEqual(['en', 'de', 'fr', 'cs', 'pt', 'es', 'uk', 'ar', 'zh']);
    for (const { metrics } of languages) expect(Object.keys(metrics).length).toBeGreaterThan(0);
  });
});

describe('a search among photos', () => {
  test('is unsure of what is not there and surer of what is', async () => {
    const a = ['a cat', 'a flower', 'space', 'a submarine', 'a dog in the snow'];
    const { probabilities = [], percentiles = [] } = await matrix({ a, b: photos, candidates: photos.length });
    const best = probabilities.map((row) => Math.max(...row.map((value) => value ?? 2)));
    const [cat = 0, flower = 0, ...absent] = best;
    expect(probabilities[0]?.indexOf(cat)).toBe(NAMES.indexOf('cat'));
    expect(probabilities[1]?.indexOf(flower)).toBe(NAMES.indexOf('flower'));
    expect(flower).toBeGreaterThan(0.8);
    for (const probability of absent) {
      expect(probability).toBeLessThan(0.3);
      expect(probability).toBeLessThan(0.6 * cat);
    }
    expect(percentiles[1]?.[NAMES.indexOf('flower')]).toBeGreaterThan(99);
  });

  test('has an answer to what the page suggests, and none to the submarine', async () => {
    const page = readFileSync(join(SAMPLES, '../index.html'), 'utf8');
    const [suggestions = ''] = /<p id="examples".*<\/p>/.exec(page) ?? [];
    const a = [...suggestions.matchAll(/class="link">([^<]+)</g)].map(([, words = '']) => words);
    const { scores, verdicts = [] } = await matrix({ a, b: photos, candidates: photos.length });
    const found = a.map((words, row) => {
      const { matches } = verdicts[row] ?? {};
      const best = scores[row]?.indexOf(Math.max(...(scores[row] ?? []))) ?? -1;
      return [words, matches === 'yes' ? NAMES[best] : matches];
    });
    expect(Object.fromEntries(found)).toEqual({
      'something to drink': 'coffee',
      'a striped cat': 'cat',
      'the night sky': 'galaxies',
      'a submarine': 'no',
    });
  });

  test.each(['', '-tiny', '-static'])(
    'by name is not told that what is there is absent, and is told so of the rest (%s)',
    async (tier) => {
      const model = `edge-clip-small${tier}`;
      const told = async (a: unknown[]) => {
        const { verdicts = [] } = await matrix({ model, a, b: photos, candidates: photos.length });
        return verdicts.map((verdict) => verdict?.matches);
      };
      const there = [...NAMES, 'a cat', 'a photo of a cat', 'cats', 'Katze', 'chat', 'fleur', 'a rocket'];
      const found = await told(there);
      expect(there.filter((_, at) => found[at] === 'no')).toEqual([]);
      const missing = ['a submarine', 'submarine', 'an elephant', 'guitar', 'qzxv wrrk'];
      const lost = await told(missing);
      expect(missing.filter((_, at) => lost[at] !== 'no')).toEqual([]);
      // Vectors with their receipts are judged as their texts are, without them as captions.
      const items = await embed(there, { model });
      expect(await told(items)).toEqual(found);
    },
  );

  test.each(['', '-tiny', '-static'])('by name among sentences finds what they are about (%s)', async (tier) => {
    const b = [
      'a cat sleeps on the sofa by the window',
      'a cup of coffee on a wooden table',
      'a rocket starts into the evening sky',
      'an astronaut floats above the earth',
      'a red flower in the middle of a garden',
      'children play football on a green field',
      'a brown dog jumps over a fence',
    ];
    const there = ['cat', 'coffee', 'rocket', 'astronaut', 'flower', 'football', 'dog', 'Hund'];
    const missing = ['elephant', 'guitar'];
    const asked = { model: `edge-clip-small${tier}`, a: [...there, ...missing], b, candidates: b.length };
    const { verdicts = [] } = await matrix(asked);
    const told = verdicts.map((verdict, at) => [asked.a[at], verdict?.matches === 'no']);
    expect(Object.fromEntries(told)).toEqual(Object.fromEntries(asked.a.map((name) => [name, missing.includes(name)])));
  });

  test('by sentences among names that are their labels says none where the right one is not there', async () => {
    const input = [
      'children play football on a green field',
      'a cup of coffee and a piece of cake on a table',
      'a man plays the guitar on a stage',
    ];
    const none = async (labels: string[]) => {
      const answer = ClassifyResponse.parse(await post('/classify', { input, labels, none_of_these: true }));
      return answer.data.map(({ none_of_these }) => none_of_these ?? Number.NaN);
    };
    for (const value of await none(['sport', 'food', 'music', 'animals'])) expect(value).toBeLessThan(0.5);
    for (const value of await none(['delivery', 'refund', 'animals'])) expect(value).toBeGreaterThan(0.5);
  });

  test('is the less sure the more was searched', async () => {
    const among = async (candidates: number) => (await matrix({ a: 'a flower', b: photos, candidates })).probabilities;
    const [few, many] = [(await among(8))?.[0]?.[3] ?? 0, (await among(100_000))?.[0]?.[3] ?? 1];
    expect(few).toBeGreaterThan(0.8);
    expect(many).toBeLessThan(0.05);
  });
});

describe('items', () => {
  test('of a text and a photo lie between the two', async () => {
    const fused = { text: 'a red bicycle', image: photos[1]?.image };
    const { scores } = await matrix({ a: [fused], b: ['a red bicycle', photos[1]] });
    for (const score of scores[0] ?? []) expect(score).toBeGreaterThan(0.5);
    expect(scores[0]?.[0]).toBeCloseTo(scores[0]?.[1] ?? 0, 5);
  });

  test('are taken as content parts of chat messages', async () => {
    const [part, item] = await embed([{ type: 'image_url', image_url: { url: GIF } }, { image: GIF }]);
    expect(part?.embedding).toEqual(item?.embedding);
    const link = { type: 'image_url', image_url: { url: 'https://example.com/dog.jpg' } };
    expect((await refusal('/embed', { input: [link] })).detail).toMatch(/^Image 0: .*links? .*not fetched/i);
  });

  test('that are bad are named with their side', async () => {
    const { code, error } = await refusal('/similarity', { a: ['x'], b: ['z', broken] });
    expect([code, error.param]).toEqual(['broken_image', 'b.1']);
  });

  test('that are bad cost themselves only where the request says so', async () => {
    const input = [photos[0], photos[1], broken, photos[3]];
    expect((await refusal('/embed', { input })).error.param).toBe('input.2');
    const { data, failed, usage } = PartialEmbedResponse.parse(await post('/embed', { input, on_error: 'partial' }));
    expect(data.map(({ object }) => object)).toEqual(['embedding', 'embedding', 'error', 'embedding']);
    expect(data[2]).toMatchObject({ index: 2, error: { code: 'broken_image', param: 'input.2' } });
    expect([failed, usage.images]).toEqual([1, 3]);
  });

  test('that are bad have no score, on either side, where the request says so', async () => {
    const elsewhere = { embedding: [1, 0], space_id: `sha256:${'0'.repeat(64)}` };
    const partial = async (asked: object) =>
      PartialSimilarityResponse.parse(await post('/similarity', { on_error: 'partial', ...asked }));
    const good = await matrix({ a: ['a dog'], b: ['a puppy', photos[0]] });
    const sides = { a: ['a dog', ' '], b: ['a puppy', broken, elsewhere, photos[0]] };
    const answer = await partial(sides);
    const [row = []] = good.scores;
    expect(answer).toMatchObject({
      scores: [
        [row[0], null, null, row[1]],
        [null, null, null, null],
      ],
      errors: [
        { side: 'a', index: 1, error: { code: 'empty_input', param: 'a.1' } },
        { side: 'b', index: 1, error: { code: 'broken_image', param: 'b.1' } },
        { side: 'b', index: 2, error: { code: 'space_mismatch', param: 'b.2' } },
      ],
      usage: { images: 1 },
    });
    const best = await partial({ ...sides, mode: 'top_k', candidates: 4 });
    if (best.mode !== 'top_k') throw new Error('not the mode that was asked for');
    expect(best.results.map((hits) => hits.map(({ index }) => index).sort())).toEqual([[0, 3], []]);
    // What could not be read may match.
    expect(best.verdicts).toEqual([null, null]);
    expect(await partial({ ...sides, b: ['a puppy', 'a boat'], mode: 'pairs' })).toMatchObject({
      scores: [row[0], null],
      errors: [{ side: 'a', index: 1 }],
    });
    expect((await partial({ a: 'a dog', b: 'a puppy' })).errors).toEqual([]);
  });

  test('that /embed answered are taken by /similarity as they are', async () => {
    const [dog, cat] = await embed(['a dog', { content: [{ text: 'a cat' }, { text: 'a kitten' }] }]);
    const { scores } = await matrix({ a: dog, b: ['a dog', cat] });
    expect(scores[0]?.[0]).toBeCloseTo(1, 5);
    expect(scores[0]?.[1]).toBeLessThan(0.9);
  });
});
