// TEI's and Hugging Face's bodies: bare answers that equal those of our own bodies, on the same paths and on /.
import { describe, expect, test } from 'vitest';
import type { ImageEncoder } from '../../../../api/core/embed.ts';
import { InfinityRerankResponse } from '../../../../contracts/src/api/doors/infinity.ts';
import { TeiInfo } from '../../../../contracts/src/api/doors/tei.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { ModelList } from '../../../../contracts/src/api/models.ts';
import { SimilarityResponse } from '../../../../contracts/src/api/similarity.ts';
import { TokenizeResponse } from '../../../../contracts/src/api/tasks/tokenize.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, CONTEXT, STATIC, tableModel } from '../table-model.ts';

const { post, app } = appOf(await tableModel());
const model = STATIC;
type Scores = { label: string; score: number }[];
const long = Array(CONTEXT + 4)
  .fill('dog')
  .concat('running')
  .join(' ');

async function answer(path: string, body: object): Promise<unknown> {
  const response = await post(path, body);
  return response.json();
}

/** The same texts through our own body. */
async function own(input: string[], options: object = {}): Promise<unknown[]> {
  const { data } = EmbedResponse.parse(await answer('/embed', { input, model, ...options }));
  return data.map(({ embedding }) => embedding);
}

describe.each(['/embed', '/'])('feature extraction by POST %s', (path) => {
  test('answers a bare list of vectors, for one text too', async () => {
    const vectors = await own(['dog', 'running']);
    expect(await answer(path, { inputs: ['dog', 'running'], model })).toEqual(vectors);
    expect(await answer(path, { inputs: 'dog', model })).toEqual([vectors[0]]);
  });

  test('takes what its clients send: nothing of it changes the answer', async () => {
    const sent = { normalize: true, encoding_format: 'float', options: { wait_for_model: true }, parameters: {} };
    expect(await answer(path, { inputs: 'dog', model, truncate: true, ...sent })).toEqual(await own(['dog']));
  });

  test('cuts to the length that was asked for', async () => {
    expect(await answer(path, { inputs: 'dog', model, dimensions: 8 })).toEqual(await own(['dog'], { dimensions: 8 }));
  });

  test('cuts a long text at the end, or at its left, or refuses it', async () => {
    const ofEnd = await own([long], { truncate: 'end' });
    const ofStart = await own([long], { truncate: 'start' });
    expect(ofEnd).not.toEqual(ofStart);
    expect(await answer(path, { inputs: long, model })).toEqual(ofEnd);
    expect(await answer(path, { inputs: long, model, truncation_direction: 'right' })).toEqual(ofEnd);
    expect(await answer(path, { inputs: long, model, truncation_direction: 'Left' })).toEqual(ofStart);
    const parameters = { truncation_direction: 'left' };
    expect(await answer(path, { inputs: long, model, parameters })).toEqual(ofStart);
    expect((await post(path, { inputs: long, model, truncate: false })).status).toBe(422);
  });

  test.each([
    ['vectors of another length than one', { normalize: false }, /normalize/],
    ['a prompt, of which this model has none', { prompt_name: 'query' }, /prompt_name/],
    ['base64, which this answer has no place for', { encoding_format: 'base64' }, /encoding_format/],
    ['token ids', { inputs: [[101, 2003]] }, /inputs\.0/],
    ['a list without a text', { inputs: [] }, /inputs is an empty list/],
  ])('refuses %s', async (_, change, problem) => {
    const response = await post(path, { inputs: 'dog', model, ...change });
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(problem);
  });
});

describe.each(['/similarity', '/'])('sentence similarity by POST %s', (path) => {
  const inputs = { source_sentence: 'dog', sentences: ['dog', 'running', 'the dog'] };

  test('answers a bare list of cosines in the order of the sentences', async () => {
    const body = { model, a: inputs.source_sentence, b: inputs.sentences };
    const ofOwn = SimilarityResponse.parse(await answer('/similarity', body));
    const [scores] = ofOwn.mode === 'matrix' ? ofOwn.scores : [];
    expect(scores?.[0]).toBeCloseTo(1, 5);
    expect(await answer(path, { inputs, model })).toEqual(scores);
    expect(await answer(path, { inputs, model, parameters: {} })).toEqual(scores);
  });

  test('refuses what it must not cut', async () => {
    const cut = { inputs: { ...inputs, sentences: ['dog', long] }, model };
    expect((await post(path, cut)).status).toBe(200);
    expect((await post(path, { ...cut, parameters: { truncate: false } })).status).toBe(422);
  });

  test('names the list that is empty', async () => {
    const response = await post(path, { inputs: { ...inputs, sentences: [] }, model });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('inputs.sentences is an empty list');
  });
});

describe('zero-shot classification by POST /', () => {
  const labels = ['dog', 'running', 'the dog'];

  test('answers labels with probabilities that add up to 1, the best first, of a text', async () => {
    const scored = (await answer('/', { inputs: 'dog', parameters: { candidate_labels: labels }, model })) as Scores;
    expect(scored[0]?.label).toBe('dog');
    expect(scored.map(({ score }) => score)).toEqual(scored.map(({ score }) => score).sort((a, b) => b - a));
    expect(scored.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 6);
  });

  test('scores each label by itself where several may fit', async () => {
    const parameters = { candidate_labels: labels, multi_label: true };
    const scored = (await answer('/', { inputs: 'dog', parameters, model })) as Scores;
    // scale 2, bias -1, and the cosine of a text with itself
    expect(scored[0]?.score).toBeCloseTo(1 / (1 + Math.exp(-1)), 5);
  });

  test('puts names into the template', async () => {
    const parameters = { candidate_labels: labels, hypothesis_template: 'the running {}', multi_label: true };
    const scored = (await answer('/', { inputs: 'the running dog', parameters, model })) as Scores;
    expect(scored[0]).toMatchObject({ label: 'dog', score: expect.closeTo(1 / (1 + Math.exp(-1)), 5) });
    const without = { ...parameters, hypothesis_template: 'no place' };
    const refused = await post('/', { inputs: 'dog', parameters: without, model });
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('hypothesis_template')]);
  });

  test('tells an image from a text, in the forms in which clients send one', async () => {
    const gif = btoa(`GIF89a\x05\0\x05\0${'\0'.repeat(30)}`);
    const sent: number[] = [];
    const images: ImageEncoder = async (files, { embedDim }) => {
      sent.push(...files.map(({ length }) => length));
      return files.map(() => encodedFile(Float32Array.from({ length: embedDim }, (_, i) => (i === 0 ? 1 : 0))));
    };
    const seeing = appOf(await tableModel(), { images });
    for (const inputs of [gif, `data:image/gif;base64,${gif}`, { image: gif }]) {
      const response = await seeing.post('/', { inputs, parameters: { candidate_labels: labels }, model });
      expect([response.status, ((await response.json()) as Scores).length]).toEqual([200, 3]);
    }
    expect(sent).toEqual([40, 40, 40]);
    // One word of that length in the same alphabet, and what is base64 of no image.
    for (const inputs of ['a'.repeat(60), 'dog']) {
      await seeing.post('/', { inputs, parameters: { candidate_labels: labels }, model });
    }
    expect(sent).toHaveLength(3);
    const broken = await seeing.post('/', {
      inputs: 'QUJD'.repeat(200),
      parameters: { candidate_labels: labels },
      model,
    });
    expect(await broken.text()).toContain('image');
  });
});

describe('POST /tokenize', () => {
  test('answers bare tokens whose places count bytes, as TEI does', async () => {
    // TEI 1.9: `into_tokens` slices the text by the tokenizer's byte offsets; special tokens have none.
    expect(await answer('/tokenize', { inputs: 'Männer dog' })).toEqual([
      [
        { id: 2, text: '[CLS]', special: true, start: null, stop: null },
        { id: 481, text: 'Männer', special: false, start: 0, stop: 7 },
        { id: 506, text: 'dog', special: false, start: 8, stop: 11 },
        { id: 3, text: '[SEP]', special: true, start: null, stop: null },
      ],
    ]);
  });

  test('leaves special tokens out, and cuts nothing', async () => {
    const lists = (await answer('/tokenize', { inputs: [long, 'dog'], add_special_tokens: false })) as object[][];
    expect(lists.map((list) => list.length)).toEqual([CONTEXT + 5, 1]);
  });

  test('answers our own body with receipts', async () => {
    const { data, context_length } = TokenizeResponse.parse(await answer('/tokenize', { input: [long, 'dog'], model }));
    expect(context_length).toBe(CONTEXT);
    expect(data.map(({ index, truncation }) => [index, truncation.truncated])).toEqual([
      [0, true],
      [1, false],
    ]);
  });
});

describe('POST /rerank', () => {
  const body = { query: 'dog', texts: ['running', 'dog', 'the dog'], model };

  test('ranks by the probability that the manifest makes of the cosines', async () => {
    const { scores } = SimilarityResponse.parse(
      await answer('/similarity', { model, a: body.query, b: body.texts }),
    ) as { scores: number[][] };
    const ranked = (await answer('/rerank', body)) as { index: number; score: number }[];
    expect(ranked[0]?.index).toBe(1);
    expect(ranked.map(({ score }) => score)).toEqual(ranked.map(({ score }) => score).sort((x, y) => y - x));
    // scale 2, bias -1
    for (const { index, score } of ranked) {
      expect(score).toBeCloseTo(1 / (1 + Math.exp(1 - 2 * (scores[0]?.[index] ?? Number.NaN))), 6);
    }
  });

  test('gives the log-odds as raw scores, in the same order, and repeats the texts on demand', async () => {
    const ranked = (await answer('/rerank', body)) as { index: number; score: number }[];
    const raw = (await answer('/rerank', { ...body, raw_scores: true, return_text: true })) as {
      index: number;
      score: number;
      text: string;
    }[];
    expect(raw.map(({ index }) => index)).toEqual(ranked.map(({ index }) => index));
    for (const [at, { index, score, text }] of raw.entries()) {
      expect(text).toBe(body.texts[index]);
      expect(1 / (1 + Math.exp(-score))).toBeCloseTo(ranked[at]?.score ?? Number.NaN, 6);
    }
  });

  test('answers Infinity where documents stand for texts', async () => {
    const ranked = (await answer('/rerank', { ...body, top_n: 2 })) as { index: number; score: number }[];
    expect(ranked).toHaveLength(2);
    const { query, texts: documents } = body;
    const options = { return_documents: true, raw_scores: false, top_n: 2 };
    const found = InfinityRerankResponse.parse(await answer('/rerank', { query, documents, model, ...options }));
    expect(found.results).toEqual(
      ranked.map(({ index, score }) => ({ index, relevance_score: score, document: documents[index] })),
    );
    // Its client names a model where its user names none; this one has no student here.
    const unnamed = await post('/rerank', { query, documents, model: 'default/not-specified' });
    expect(await unnamed.text()).not.toContain('default/not-specified');
  });

  test.each([
    ['nothing to rank', { texts: [] }, 400, /texts is an empty list/],
    ['a text that must not be cut', { texts: ['dog', long], truncate: false }, 422, /tokens/],
  ])('refuses %s', async (_, change, status, problem) => {
    const response = await post('/rerank', { ...body, ...change });
    expect([response.status, await response.text()]).toEqual([status, expect.stringMatching(problem)]);
  });
});

test('GET /info says what /v1/models says, in the words of TEI', async () => {
  const info = TeiInfo.parse(await (await app.request('/info')).json());
  const { data } = ModelList.parse(await (await app.request('/v1/models')).json());
  expect(info).toMatchObject({
    model_id: data[0]?.id,
    model_sha: data[0]?.version,
    max_input_length: data[0]?.context_length,
    max_client_batch_size: data[0]?.limits.items,
    space_id: data[0]?.space_id,
  });
});

test('a body with input and inputs is not taken for either', async () => {
  for (const body of [
    { input: 'dog', inputs: 'dog' },
    { inputs: 'dog', input: 'dog' },
  ]) {
    const response = await post('/embed', { ...body, model });
    expect([response.status, await response.text()]).toEqual([400, expect.stringContaining('inputs')]);
  }
});

test.each(['/health', '/ping', '/health/live'])('GET %s says that the process answers', async (path) => {
  expect(await (await app.request(path)).json()).toEqual({ status: 'ok' });
});

test('GET /models is what GET /v1/models is', async () => {
  const [short, long] = await Promise.all(
    ['/models', '/v1/models'].map(async (path) => (await app.request(path)).json()),
  );
  expect(short).toEqual(long);
});
