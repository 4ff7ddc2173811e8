// Sentences for a body that does not keep its schema: the news first, the place, and what was meant.
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { CoreError } from '../../../api/core/errors.ts';
import { parseRequest } from '../../../api/core/validation.ts';
import { BatchRequest } from '../../../contracts/src/api/doors/batches.ts';
import { JinaEmbeddingsRequest } from '../../../contracts/src/api/doors/jina.ts';
import { RerankRequest } from '../../../contracts/src/api/doors/rerank.ts';
import { OpenAiUploadComplete } from '../../../contracts/src/api/doors/uploads.ts';
import { EmbedRequest } from '../../../contracts/src/api/embed.ts';
import { SimilarityRequest } from '../../../contracts/src/api/similarity.ts';
import { ClassifyRequest } from '../../../contracts/src/api/tasks/classify.ts';
import { JobRequest } from '../../../contracts/src/api/tasks/jobs.ts';
import { PageQuery } from '../../../contracts/src/api/tasks/pages.ts';
import { BulkAnswers, Webhook } from '../../../contracts/src/bulk/job.ts';

const SPACE = `sha256:${'0'.repeat(64)}`;

function refusalOf(schema: z.ZodType, sent: unknown) {
  try {
    parseRequest(schema, sent);
  } catch (error) {
    if (error instanceof CoreError) return { code: error.code, message: error.message, ...error.details };
    throw error;
  }
  throw new Error('it was taken');
}

describe('a name that objects have from their prototype', () => {
  /** As it arrives: in an object literal it would be the prototype. */
  const sent = (body: string): unknown => JSON.parse(body);
  const names = (value: unknown) => Object.entries(Object(value));

  test('is a label like any other', () => {
    const body = '{"input": "a dog", "labels": {"cat": "a cat", "__proto__": ["a dog"], "constructor": "a boat"}}';
    const { labels } = parseRequest(ClassifyRequest, sent(body));
    expect(new Map(names(labels))).toEqual(
      new Map<string, unknown>([
        ['cat', 'a cat'],
        ['__proto__', ['a dog']],
        ['constructor', 'a boat'],
      ]),
    );
  });

  test('is refused where its value is of another type', () => {
    const body = sent('{"input": "a dog", "labels": {"__proto__": [1]}}');
    expect(refusalOf(ClassifyRequest, body)).toMatchObject({ code: 'wrong_type' });
  });

  test('is a field of a document', () => {
    const { documents } = parseRequest(RerankRequest, sent('{"query": "a", "documents": [{"__proto__": "b"}]}'));
    expect(names(documents[0])).toEqual([['__proto__', 'b']]);
  });

  test('is given back with the metadata of a batch, from what was kept of it, too', () => {
    const batch = '"input_file_id": "file-1", "endpoint": "/v1/embeddings", "completion_window": "24h"';
    const { metadata } = parseRequest(BatchRequest, sent(`{${batch}, "metadata": {"__proto__": "b"}}`));
    expect(names(metadata)).toEqual([['__proto__', 'b']]);
    const kept = sent('{"endpoint": "/v1/embeddings", "metadata": {"__proto__": "b"}, "file": "file-1"}');
    expect(JSON.stringify(BulkAnswers.parse(kept))).toContain('"__proto__":"b"');
  });
});

describe('null', () => {
  test('means absent, as some clients send what is not set', () => {
    const sent = { input: ['a dog'], model: 'm', truncate: null, dimensions: null, types: null };
    expect(parseRequest(EmbedRequest, sent)).toEqual({ input: ['a dog'], model: 'm' });
    expect(sent.types, 'what was sent is not changed').toBeNull();
  });

  test('means absent inside of items too', () => {
    const sent = {
      a: { embedding: [1], space_id: SPACE, modality: null, type: null },
      b: [{ text: 'x', image: null }],
    };
    expect(parseRequest(SimilarityRequest, sent)).toEqual({
      a: { embedding: [1], space_id: SPACE },
      b: [{ text: 'x' }],
    });
  });

  test('of an /embed item that is sent back, where nothing was cut, is taken', () => {
    const truncation = { truncated: false, tokens_seen: 4, tokens_total: 4, cut_at_char: null };
    const a = { object: 'embedding', index: 0, modality: 'text', embedding: [1], type: 'float', space_id: SPACE };
    expect(() => parseRequest(SimilarityRequest, { a: { ...a, truncation }, b: 'a cat' })).not.toThrow();
  });

  test('as an entry of a list is refused: it would move the others', () => {
    const { code, message, param, item } = refusalOf(EmbedRequest, { input: ['a', null] });
    expect({ code, param, item }).toEqual({ code: 'wrong_type', param: 'input.1', item: 1 });
    expect(message).toMatch(/^input\.1 must be text or an image, not null\. Leave the entry out/);
  });

  test('as a required value is missing', () => {
    expect(refusalOf(EmbedRequest, { input: null })).toMatchObject({ message: 'input is missing.', param: 'input' });
  });
});

describe('a value that is not taken', () => {
  const nested = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  const nestedKeys = (depth: number) => JSON.parse(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`);

  test.each([
    ['lists', nested(100_000), /^truncate must be one of none, start, end; not \[{60}…\.$/],
    ['objects', nestedKeys(100_000), /^truncate must be one of none, start, end; not (\{"a":){12}…\.$/],
  ])('is shown in part where it is %s without end', (_, truncate, message) => {
    const refused = refusalOf(EmbedRequest, { input: 'a', truncate });
    expect(refused).toMatchObject({ code: 'invalid_request', message: expect.stringMatching(message) });
  });

  test('is counted as it was sent where it is a list of too many, however many of it were read', () => {
    const items = Array.from({ length: 20_000 }, (_, at) => ({ custom_id: `${at}`, text: 'a', image: null }));
    expect(refusalOf(JobRequest, { input: { items } }).message).toBe(
      'input.items must hold at most 2048 entries; 20000 were sent.',
    );
    const { message } = refusalOf(OpenAiUploadComplete, { part_ids: Array(5000).fill('a') });
    expect(message).toBe('part_ids must hold at most 1000 entries; 5000 were sent.');
  });
});

describe('a key that is not known', () => {
  test.each([
    [EmbedRequest, { inputs: ['a dog'], truncate: true }, 'inputs', 'input'],
    [EmbedRequest, { texts: ['a dog'] }, 'texts', 'input'],
    [EmbedRequest, { prompt: 'a dog' }, 'prompt', 'input'],
    [EmbedRequest, { input: 'a dog', encoding_format: 'base64' }, 'encoding_format', 'types'],
    [EmbedRequest, { input: 'a dog', output_dtype: 'int8' }, 'output_dtype', 'types'],
    [EmbedRequest, { input: 'a dog', output_dimension: 64 }, 'output_dimension', 'dimensions'],
    [EmbedRequest, { input: 'a dog', dimension: 64 }, 'dimension', 'dimensions'],
    [EmbedRequest, { input: 'a dog', tpyes: ['float'] }, 'tpyes', 'types'],
    [EmbedRequest, { input: 'a dog', truncation: true }, 'truncation', 'truncate'],
    [EmbedRequest, { input: [{ text: 'a' }, { txt: 'b' }] }, 'input.1.txt', 'text'],
    [EmbedRequest, { input: [{ url: 'https://example.com/a.png' }] }, 'input.0.url', 'image'],
    [SimilarityRequest, { a: 'x', b: 'y', topK: 3, mode: 'top_k' }, 'topK', 'top_k'],
    [SimilarityRequest, { source_sentence: 'a dog', sentences: ['a cat'] }, 'source_sentence', 'a'],
    [SimilarityRequest, { inputs: { source_sentence: 'a dog', sentences: ['a cat'] } }, 'inputs', 'a'],
  ])('is said before a missing one, with the one that is meant', (schema, sent, param, meant) => {
    const refusal = refusalOf(schema, sent);
    expect({ code: refusal.code, param: refusal.param }).toEqual({ code: 'unknown_key', param });
    expect(refusal.message).toMatch(new RegExp(`did you mean ${meant}\\?$`, 'i'));
  });

  test('among others that name nothing known: the sentence finds the one that does', () => {
    const sent = { input: [{ kind: 'photo', img: 'R0lGODlhAQABAAAAACw=' }] };
    expect(refusalOf(EmbedRequest, sent)).toMatchObject({
      message: 'input.0 has keys that are not known here: kind, img. For img, did you mean image?',
      item: 0,
    });
  });

  test('a content part of a chat message whose image is missing says so', () => {
    const sent = { input: [{ type: 'image_url', image_url: { uri: 'data:image/gif;base64,R0lGODlhAQABAAAAACw=' } }] };
    expect(refusalOf(EmbedRequest, sent)).toMatchObject({
      message: 'input.0.image_url has a key that is not known here: uri. Did you mean url?',
    });
  });

  test.each([
    [EmbedRequest, { input: 'a', inputs: 'b' }],
    [EmbedRequest, { input: 'a', prompt: 'query: ' }],
    [EmbedRequest, { input: 'a', dimensions: 8, output_dimension: 8 }],
  ])('is not said to mean one that was sent as well: %#', (schema, sent) => {
    const { code, message } = refusalOf(schema, sent);
    expect(code).toBe('unknown_key');
    expect(message).not.toContain('Did you mean');
    expect(message).toContain('Taken are model, input, types, dimensions, truncate, on_error.');
  });

  test('that nothing is like: the sentence names what is taken', () => {
    const { message } = refusalOf(EmbedRequest, { input: 'a', normalize: true });
    expect(message).toBe(
      'The body has a key that is not known here: normalize. Taken are model, input, types, dimensions, truncate, on_error.',
    );
  });

  test('a hundred thousand of them make a short sentence', () => {
    const sent = Object.fromEntries(Array.from({ length: 1e5 }, (_, i) => [`key${i}`, 1]));
    expect(refusalOf(EmbedRequest, sent).message.length).toBeLessThan(300);
  });
});

describe('a value of the wrong kind', () => {
  test.each([
    [EmbedRequest, { input: [1, 2] }, 'input.0', 'must be text or an image, not a number.', true],
    [
      EmbedRequest,
      { input: [[101, 2003], [101]] },
      'input.0',
      'must be text or an image, not a list of numbers.',
      true,
    ],
    [EmbedRequest, { input: [true] }, 'input.0', 'must be text or an image, not true or false.', false],
    [EmbedRequest, { input: 5 }, 'input', 'must be text, an image or a list of them, not a number.', false],
    [
      SimilarityRequest,
      { a: 'x', b: [[0.5, 1.5]] },
      'b.0',
      'must be text, an image or a ready vector ({"embedding": […], "space_id": …}), not a list of numbers.',
      false,
    ],
    [EmbedRequest, { input: 'a', model: ['m'] }, 'model', 'must be a string, not a list.', false],
    [EmbedRequest, { input: { text: 5 } }, 'input.text', 'must be a string, not a number.', false],
  ])('is named where it stands', (schema, sent, param, sentence, isTokenIds) => {
    const refusal = refusalOf(schema, sent);
    expect({ code: refusal.code, param: refusal.param }).toEqual({ code: 'wrong_type', param });
    expect(refusal.message.startsWith(`${param} ${sentence}`)).toBe(true);
    expect(refusal.message.includes('check_embedding_ctx_length=False')).toBe(isTokenIds);
  });

  test('a number that JSON can write and nothing can hold is not finite', () => {
    const sent: unknown = JSON.parse(`{"a":{"embedding":[0,1e400],"space_id":"${SPACE}"},"b":"x"}`);
    expect(refusalOf(SimilarityRequest, sent)).toMatchObject({
      message: 'a.embedding.1 is not finite: the number is too large.',
      param: 'a.embedding.1',
    });
  });

  test.each([
    [{ dimensions: 0.5 }, 'invalid_dimensions', 'dimensions must be a whole number, not 0.5.'],
    [{ dimensions: 0 }, 'invalid_dimensions', 'dimensions must be more than 0; not 0.'],
    [{ dimensions: '64' }, 'invalid_dimensions', 'dimensions must be a number, not a string.'],
    [{ types: [] }, 'empty_input', 'types is an empty list.'],
    [
      { types: ['float16'] },
      'unsupported_type',
      'types.0 must be one of float, base64, int8, uint8, binary, ubinary; not "float16".',
    ],
    [{ truncate: 'left' }, 'invalid_request', 'truncate must be one of none, start, end; not "left".'],
  ])('%j: %s', (option, code, message) => {
    expect(refusalOf(EmbedRequest, { input: 'a', ...option })).toMatchObject({ code, message });
  });

  test.each([
    ['a name that is none of those taken, where a list may be sent too', { types: 'int4' }, /; not "int4"\.$/],
    ['a value of another kind', { types: 5 }, /or a list, not a number\.$/],
  ])('one of several kinds: %s', (_, sent, message) => {
    const types = z.enum(['float', 'int8']);
    expect(refusalOf(z.strictObject({ types: z.union([types, z.array(types)]) }), sent).message).toMatch(message);
  });

  test('a type of vectors at another door has the code of types', () => {
    const sent = { input: ['a'], embedding_type: 'int4' };
    expect(refusalOf(JinaEmbeddingsRequest, sent)).toMatchObject({
      code: 'unsupported_type',
      message: 'embedding_type must be "float", "base64", "binary", "ubinary" or a list; not "int4".',
    });
  });

  test.each([
    [{ limit: '0' }, 'limit must be at least 1; not "0".'],
    [{ limit: '-1' }, 'limit must be at least 1; not "-1".'],
    [{ limit: '20000' }, 'limit must be at most 10000; not "20000".'],
  ])('a number of an address, which comes as text: %j', (sent, message) => {
    expect(refusalOf(PageQuery, sent)).toMatchObject({ code: 'invalid_request', param: 'limit', message });
  });

  test('what tells kinds apart is asked for by its values', () => {
    const Part = z.strictObject({ type: z.literal('image_url'), image_url: z.string() });
    expect(refusalOf(Part, { image_url: 'data:' }).message).toBe('type is missing: it is image_url.');
  });

  test('a secret is base64 that can be decoded, of 24 to 64 bytes, padded or not', () => {
    const bytesOf = (text: string): number => {
      try {
        return atob(text).length;
      } catch {
        return 0;
      }
    };
    for (let digits = 28; digits < 92; digits++) {
      for (const padding of ['', '=', '==', '===']) {
        const secret = `${'A'.repeat(digits)}${padding}`;
        const isTaken = Webhook.safeParse({ url: 'https://app.example/', secret: `whsec_${secret}` }).success;
        const bytes = bytesOf(secret);
        expect(isTaken, `${digits} ${padding}`).toBe(bytes >= 24 && bytes <= 64);
      }
    }
  });

  test('a form that has a sentence of its own is told by it', () => {
    const sent = { url: 'http://app.example/done', secret: `whsec_${'A'.repeat(32)}` };
    expect(refusalOf(Webhook, sent).message).toBe(
      'url must be https://… without a name and a password, or http:// of this machine; not "http://app.example/done".',
    );
    expect(refusalOf(Webhook, { ...sent, url: 'https://app.example/done', secret: 'abc' }).message).toBe(
      'secret must be whsec_ and the base64 of 24 to 64 random bytes; not "abc".',
    );
  });

  test('a body of another kind is named as the body', () => {
    expect(refusalOf(EmbedRequest, ['a dog'])).toMatchObject({ message: 'The body must be an object, not a list.' });
  });
});

describe('any schema', () => {
  const Part = z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('text'), text: z.string() }),
    z.strictObject({ type: z.literal('image_url'), image_url: z.strictObject({ url: z.string() }) }),
  ]);
  const Body = z.strictObject({
    inputs: z.array(z.strictObject({ content: z.array(Part).min(1) })).max(3),
    user: z.unknown().optional().describe('Taken and not used.'),
  });
  const parts = (...content: unknown[]) => ({ inputs: [{ content }] });

  test.each([
    [parts({ type: 'text', text: 5 }), 'inputs.0.content.0.text must be a string, not a number.'],
    [parts({ type: 'text', txt: 'a' }), 'inputs.0.content.0 has a key that is not known here: txt. Did you mean text?'],
    [parts({ type: 'video' }), 'inputs.0.content.0.type must be one of text, image_url; not "video".'],
    [parts({ type: 'image_url', image_url: 'data:' }), 'inputs.0.content.0.image_url must be an object, not a string.'],
    [parts(), 'inputs.0.content is an empty list.'],
    [{ inputs: [{}, {}] }, 'inputs.0.content is missing.'],
    [
      { inputs: Array(4).fill({ content: [{ type: 'text', text: 'a' }] }) },
      'inputs must hold at most 3 entries; 4 were sent.',
    ],
  ])('gets the sentence of the branch that is meant: %j', (sent, message) => {
    expect(refusalOf(Body, sent).message).toBe(message);
  });

  test('keys that do exclude each other are not called unknown', () => {
    const Either = z.union([
      z.strictObject({ text: z.string() }),
      z.strictObject({ image: z.string(), size: z.int() }),
    ]);
    expect(refusalOf(Either, { image: 'x' }).message).toBe('size is missing.');
  });

  test('keys that exclude each other are named as such', () => {
    const Either = z.union([
      z.strictObject({ id: z.string(), text: z.string() }),
      z.strictObject({ id: z.string(), image: z.string() }),
    ]);
    expect(refusalOf(Either, { id: 'a', text: 'a', image: 'x' })).toEqual({
      code: 'invalid_request',
      message: 'The body has text and image, which are not taken together.',
      param: 'image',
    });
    const Whole = z.strictObject({ items: z.array(Either) });
    const items = [
      { id: 'a', text: 'a' },
      { id: 'b', text: 'a', image: 'x' },
    ];
    expect(refusalOf(Whole, { items })).toMatchObject({ param: expect.stringMatching(/^items\.1\.(text|image)$/) });
    expect(refusalOf(Either, { id: 'a', text: 'a', kind: 'b' })).toMatchObject({ code: 'unknown_key', param: 'kind' });
  });

  test('a long list of wrong entries stops at the first piece, and a long list of right ones is taken whole', () => {
    let read = 0;
    const Counted = z.strictObject({
      input: z.array(z.custom<string>((value) => ++read > 0 && typeof value === 'string')),
    });
    expect(() => parseRequest(z.strictObject({ input: z.array(z.string()) }), { input: Array(1e6).fill(1) })).toThrow(
      /^input\.0 must be a string, not a number/,
    );
    const long = Array.from({ length: 20_000 }, (_, i) => `text ${i}`);
    expect(parseRequest(Counted, { input: long }).input).toEqual(long);
    expect(read).toBeLessThan(2 * long.length);
    expect(() => parseRequest(z.strictObject({ input: z.array(z.string()) }), { input: [...long, 1] })).toThrow(
      /^input\.20000 must be a string/,
    );
  });

  test('depth beyond every schema is refused, not followed', () => {
    const deep: unknown = JSON.parse(`${'['.repeat(100_000)}${']'.repeat(100_000)}`);
    expect(refusalOf(EmbedRequest, { input: deep }).message).toMatch(
      /^input\.0 must be text or an image, not a list\./,
    );
    expect(refusalOf(EmbedRequest, deep).message).toBe('The body must be an object, not a list.');
  });
});
