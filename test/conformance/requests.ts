// Requests that a deployed service must refuse, each with one code; and the codes that no request alone brings about.

import type { ErrorCode } from '../../contracts/src/api/error.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';

/** Something in the service must be broken, busy or kept first: test/api/worker/faults.workerd.test.ts brings these about. */
export const FAULTS = [
  'body_timeout',
  'overloaded',
  'internal_error',
  'non_finite_embedding',
  'encoder_error',
  'encoder_unavailable',
  'encoder_timeout',
  'model_unavailable',
  'keys_unavailable',
  'not_configured',
  'range_not_satisfiable',
] as const satisfies ErrorCode[];

/** Kinds of API keys: one each is in the file of test/support/key-file.ts. */
export type Kind = 'good' | 'jobs' | 'admin' | 'revoked' | 'expired' | 'slow' | 'spent';

export interface Refused {
  code: ErrorCode;
  why: string;
  method?: string;
  path?: string;
  type?: string;
  /** Sent as it is where it is a string, as JSON where not. Made when the request is sent: some are large. */
  body?: () => unknown;
  /** `error.param`, where one field is to blame. */
  param?: string;
  item?: number;
  /** Which kind of API key is sent, a text that is none, or null for none at all; default: a good one. */
  key?: Kind | `not ${string}` | null;
}

const image = (bytes: string) => ({ image: btoa(bytes) });
const png = (width: number, height: number) => {
  const number = (value: number) =>
    String.fromCharCode(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255);
  return `\x89PNG\r\n\x1a\n\0\0\0\rIHDR${number(width)}${number(height)}\x08\x02\0\0\0`;
};
const formField = (name: string, more = 'x=y') =>
  `--X\r\nContent-Disposition: form-data; name=${name}; ${more}\r\n\r\n`;
const OTHER_SPACE = `sha256:${'0'.repeat(64)}`;

/** `spaceId` and `dimensions` are the service's own: some mistakes need them right. */
export function refused(spaceId: string, dimensions: number): Refused[] {
  const vector = (length: number, space_id = spaceId) => ({ embedding: Array(length).fill(1), space_id });
  return [
    { code: 'malformed_json', why: 'JSON that stops', body: () => '{"input": ' },
    { code: 'malformed_json', why: 'no body at all', body: () => '' },
    { code: 'malformed_json', why: 'JSON that stops, for similarity', path: '/similarity', body: () => '[' },
    { code: 'invalid_request', why: 'no input', body: () => ({}), param: 'input' },
    {
      code: 'invalid_request',
      why: 'an unknown truncation',
      body: () => ({ input: 'a', truncate: 'left' }),
      param: 'truncate',
    },
    {
      code: 'invalid_request',
      why: 'pairs of unequal sides',
      path: '/similarity',
      body: () => ({ a: ['a', 'b'], b: ['c'], mode: 'pairs' }),
      param: 'b',
    },
    {
      code: 'invalid_request',
      why: 'top_k in another mode',
      path: '/similarity',
      body: () => ({ a: 'a', b: 'b', top_k: 2 }),
      param: 'top_k',
    },
    {
      code: 'invalid_request',
      why: 'a vector of zeros',
      path: '/similarity',
      body: () => ({ a: { ...vector(dimensions), embedding: Array(dimensions).fill(0) }, b: 'b' }),
      param: 'a.0',
    },
    {
      code: 'invalid_request',
      why: 'a vector of bytes that does not say its type',
      path: '/similarity',
      body: () => ({ a: { ...vector(dimensions), embedding: Array(dimensions).fill(128) }, b: 'b' }),
      param: 'a.0',
    },
    {
      code: 'unknown_key',
      why: 'a key that is nearly right',
      body: () => ({ input: 'a', dimension: 64 }),
      param: 'dimension',
    },
    {
      code: 'unknown_key',
      why: 'an unknown key in an item',
      body: () => ({ input: ['a', { text: 'b', lang: 'en' }] }),
      param: 'input.1.lang',
      item: 1,
    },
    {
      code: 'invalid_request',
      why: 'a dry run that is asked for in other words',
      path: '/embed?dry_run=yes',
      body: () => ({ input: 'a' }),
      param: 'dry_run',
    },
    {
      code: 'invalid_request',
      why: "a dry run of another service's body",
      path: '/embed?dry_run=1',
      body: () => ({ inputs: 'a' }),
      param: 'dry_run',
    },
    {
      code: 'wrong_type',
      why: 'the data URI of an image in the place of a text',
      body: () => ({ input: ['a dog', `data:image/png;base64,${btoa('x'.repeat(LIMITS.text_chars))}`] }),
      param: 'input.1',
      item: 1,
    },
    {
      code: 'wrong_type',
      why: 'the data URI of an image on a side',
      path: '/similarity',
      body: () => ({ a: 'a dog', b: [`data:image/jpeg;base64,${btoa('x')}`] }),
      param: 'b.0',
    },
    {
      code: 'unknown_key',
      why: 'a dry run where there is none',
      path: '/classify?dry_run=1',
      body: () => ({ input: 'a', labels: ['b', 'c'] }),
      param: 'dry_run',
    },
    {
      code: 'unknown_key',
      why: 'a field in the address that belongs into the body',
      path: '/embed?dry_run=1&dimensions=64',
      body: () => ({ input: 'a' }),
      param: 'dimensions',
    },
    {
      code: 'unknown_key',
      why: 'a parameter that a list does not have',
      method: 'GET',
      path: '/v1/jobs?order=asc',
      key: 'jobs',
      param: 'order',
    },
    {
      code: 'empty_input',
      why: 'a dry run of what would be refused',
      path: '/similarity?dry_run=1',
      body: () => ({ a: 'a dog', b: ['a cat', ' '] }),
      param: 'b.1',
    },
    {
      code: 'invalid_request',
      why: 'the same label twice',
      path: '/classify',
      body: () => ({ input: 'a', labels: ['b', 'c', 'b'] }),
      param: 'labels.2',
    },
    {
      code: 'invalid_request',
      why: 'a template without a place for the label',
      path: '/v1/classify',
      body: () => ({ input: 'a', labels: ['b'], templates: ['a photo'] }),
      param: 'templates.0',
    },
    {
      code: 'empty_input',
      why: 'no label',
      path: '/classify',
      body: () => ({ input: 'a', labels: [] }),
      param: 'labels',
    },
    {
      code: 'text_too_long',
      why: 'texts that are too long together, for their tokens',
      path: '/tokenize',
      body: () => ({ input: Array(2).fill('a'.repeat(LIMITS.text_chars / 2 + 1)) }),
      param: 'input',
    },
    { code: 'wrong_type', why: 'a number as input', body: () => ({ input: 5 }), param: 'input' },
    { code: 'wrong_type', why: 'a list as body', body: () => ['a dog'] },
    {
      code: 'unknown_key',
      why: "a form with the field of JSON's body",
      type: 'multipart/form-data; boundary=X',
      body: () => `${formField('input')}a dog\r\n--X--`,
      param: 'input',
    },
    {
      code: 'invalid_request',
      why: 'a form that is cut off',
      type: 'multipart/form-data; boundary=X',
      body: () => `${formField('text')}a dog`,
    },
    { code: 'empty_input', why: 'an empty list', body: () => ({ input: [] }), param: 'input' },
    {
      code: 'empty_input',
      why: 'a text of white space',
      body: () => ({ input: ['a', ' \n\t'] }),
      param: 'input.1',
      item: 1,
    },
    { code: 'empty_input', why: 'an empty image', body: () => ({ input: { image: '' } }), item: 0 },
    {
      code: 'unsupported_type',
      why: 'a type that is not written here',
      body: () => ({ input: 'a', types: ['float16'] }),
    },
    {
      code: 'invalid_dimensions',
      why: 'more dimensions than a whole vector has',
      body: () => ({ input: 'a', dimensions: dimensions + 1 }),
      param: 'dimensions',
    },
    {
      code: 'invalid_dimensions',
      why: 'half a dimension',
      body: () => ({ input: 'a', dimensions: 0.5 }),
      param: 'dimensions',
    },
    {
      code: 'model_not_found',
      why: 'a model that is not here',
      body: () => ({ input: 'a', model: 'other' }),
      param: 'model',
    },
    { code: 'unauthorized', why: 'no key', key: null, body: () => ({ input: 'a dog' }) },
    { code: 'unauthorized', why: 'no key for the list of models', key: null, method: 'GET', path: '/v1/models' },
    { code: 'unauthorized', why: 'no key and a body that is wrong, too', key: null, body: () => '{' },
    { code: 'unauthorized', why: 'a key of another service', key: 'not a key of ours', body: () => ({ input: 'a' }) },
    { code: 'unauthorized', why: 'a revoked key', key: 'revoked', body: () => ({ input: 'a dog' }) },
    { code: 'unauthorized', why: 'an expired key', key: 'expired', body: () => ({ input: 'a dog' }) },
    { code: 'forbidden', why: 'a key for jobs', key: 'jobs', body: () => ({ input: 'a dog' }) },
    {
      code: 'forbidden',
      why: 'a key for jobs, for scores',
      key: 'jobs',
      path: '/similarity',
      body: () => ({ a: 'a', b: 'b' }),
    },
    { code: 'quota_exceeded', why: 'a key whose quota is used up', key: 'spent', body: () => ({ input: 'a dog' }) },
    {
      code: 'quota_exceeded',
      why: 'the same, for scores',
      key: 'spent',
      path: '/similarity',
      body: () => ({ a: 'a', b: 'b' }),
    },
    { code: 'rate_limited', why: 'a key that asked too often', key: 'slow', body: () => ({ input: 'a dog' }) },
    { code: 'rate_limited', why: 'the same, for models', key: 'slow', method: 'GET', path: '/v1/models' },
    { code: 'not_found', why: 'a path that is not there', method: 'GET', path: '/v0/nothing' },
    { code: 'method_not_allowed', why: 'GET where POST is taken', method: 'GET', path: '/embed' },
    { code: 'method_not_allowed', why: 'POST where GET is taken', path: '/v1/models', body: () => ({}) },
    { code: 'unsupported_media_type', why: 'a body of XML', type: 'text/xml', body: () => '<a/>' },
    {
      code: 'unsupported_media_type',
      why: 'a form for similarity',
      path: '/similarity',
      type: 'multipart/form-data; boundary=x',
      body: () => '--x--',
    },
    { code: 'body_too_large', why: 'a body over the limit', body: () => ' '.repeat(LIMITS.body_bytes + 1) },
    { code: 'body_too_large', why: 'a body far over the limit', body: () => ' '.repeat(1.9 * LIMITS.body_bytes) },
    {
      code: 'unsupported_media_type',
      why: 'a body that is refused before it is read',
      type: 'text/plain',
      body: () => ' '.repeat(LIMITS.body_bytes),
    },
    { code: 'not_found', why: 'a large body to nowhere', path: '/nowhere', body: () => ' '.repeat(2 ** 24) },
    {
      code: 'too_many_tokens',
      why: 'texts of the full length, one too many',
      body: () => ({ input: Array(LIMITS.tokens.student / 512 + 1).fill('dog '.repeat(600)) }),
    },
    {
      code: 'too_many_tokens',
      why: 'two sides that are too long together',
      path: '/similarity',
      body: () => ({ a: Array(20).fill('dog '.repeat(600)), b: Array(20).fill('cat '.repeat(600)) }),
    },
    {
      code: 'too_many_items',
      why: 'one text too many',
      body: () => ({ input: Array(LIMITS.items + 1).fill('a') }),
      param: 'input',
    },
    {
      code: 'too_many_items',
      why: 'one image too many',
      // At /embed a job could be begun of them.
      path: '/similarity',
      body: () => ({ a: Array(LIMITS.images + 1).fill(image(png(1, 1))), b: 'a' }),
      param: 'a',
    },
    {
      code: 'not_understood',
      why: 'a text of which no word is known',
      path: '/similarity',
      body: () => ({ a: 'a dog', b: ['a cat', '\u{1f44d}'] }),
      param: 'b.1',
      item: 1,
    },
    {
      code: 'text_too_long',
      why: 'a long text that may not be cut',
      body: () => ({ input: 'dog '.repeat(5000), truncate: 'none' }),
      param: 'input.0',
      item: 0,
    },
    {
      code: 'text_too_long',
      why: 'one character too many',
      body: () => ({ input: 'a'.repeat(LIMITS.text_chars + 1) }),
      param: 'input.0',
      item: 0,
    },
    {
      code: 'image_too_large',
      why: 'a file of one byte too many',
      type: 'multipart/form-data; boundary=X',
      body: () => `${formField('image', 'filename=a.jpg')}${'x'.repeat(LIMITS.image_bytes + 1)}\r\n--X--`,
      item: 0,
    },
    {
      code: 'too_many_pixels',
      why: 'a small file of a huge picture',
      body: () => ({ input: ['a', image(png(20_000, 20_000))] }),
      item: 1,
    },
    {
      code: 'unsupported_image_type',
      why: 'an SVG',
      body: () => ({ input: image('<svg xmlns="http://www.w3.org/2000/svg"/>') }),
      item: 0,
    },
    {
      code: 'not_an_image',
      why: 'bytes of no image',
      body: () => ({ input: image('hello there, no picture') }),
      item: 0,
    },
    { code: 'not_an_image', why: 'a link', body: () => ({ input: { image: 'https://example.com/dog.jpg' } }), item: 0 },
    { code: 'broken_image', why: 'an image of no width', body: () => ({ input: image(png(0, 5)) }), item: 0 },
    { code: 'broken_image', why: 'a header and nothing behind it', body: () => ({ input: image(png(9, 9)) }), item: 0 },
    {
      code: 'space_mismatch',
      why: 'a vector of another space',
      path: '/similarity',
      body: () => ({ a: vector(dimensions, OTHER_SPACE), b: 'b' }),
      param: 'a.0',
    },
    {
      code: 'dimension_mismatch',
      why: 'a vector longer than those of this space',
      path: '/similarity',
      body: () => ({ a: 'a', b: ['b', vector(dimensions + 1)] }),
      param: 'b.1',
    },
  ];
}
