// Errors that repeat what a caller wrote, which may be as long as a body: the answer is not.
import { describe, expect, test } from 'vitest';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const { app } = appOf(await tableModel());
const LONG = 'x'.repeat(8000);
const json = (path: string, body: object): [string, RequestInit] => [
  path,
  { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
];
const form = (path: string, fields: [string, string][]): [string, RequestInit] => {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  return [path, { method: 'POST', body }];
};
const classify = (more: object) => json('/classify', { model: STATIC, input: 'a dog', ...more });
const rerank = (more: object) =>
  json('/v1/rerank', { model: STATIC, query: 'a dog', documents: [{ a: 'b' }], ...more });

describe('of 8,000 characters that a caller wrote an error repeats the beginning', () => {
  test.each<[string, [string, RequestInit?]]>([
    ['a model', json('/embed', { input: 'a dog', model: LONG })],
    ['a key', json('/embed', { input: 'a dog', [LONG]: 1 })],
    ['a key that is nearly one', json('/embed', { input: 'a dog', [`top_k${'-'.repeat(8000)}`]: 1 })],
    ['a key of an item', json('/embed', { input: [{ text: 'a dog', [LONG]: 1 }] })],
    ['a value', json('/embed', { input: 'a dog', truncate: LONG })],
    ['a label that is wrong', classify({ labels: { [LONG]: [1] } })],
    ['a label without a sentence', classify({ labels: { cat: 'a cat', [LONG]: [] } })],
    ['a label that is too long', classify({ labels: { [LONG]: 'dog '.repeat(20) } })],
    ['fields to rank by', rerank({ rank_fields: [LONG] })],
    ['a field of a form', form('/embed', [[LONG, '1']])],
    [
      'a field that is sent twice',
      form('/embed', [
        [LONG, '1'],
        [LONG, '2'],
      ]),
    ],
    ['a parameter', [`/embed?${LONG}=1`, json('/embed', { input: 'a dog' })[1]]],
    ['a value of a parameter', [`/embed?dry_run=${LONG}`, json('/embed', { input: 'a dog' })[1]]],
    ['a path', [`/${LONG}`]],
    ['a type', ['/embed', { method: 'POST', headers: { 'content-type': `text/${LONG}` }, body: 'a' }]],
    [
      'a charset',
      ['/embed', { method: 'POST', headers: { 'content-type': `application/json; charset=${LONG}` }, body: '{}' }],
    ],
    [
      'a coding',
      [
        '/embed',
        { method: 'POST', headers: { 'content-type': 'application/json', 'content-encoding': LONG }, body: '{}' },
      ],
    ],
  ])('%s', async (_, [path, init]) => {
    const response = await app.request(path, init);
    // Of every door's form.
    const answer = await response.text();
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(answer).toMatch(/(x{20}|-{20})…/);
    expect(answer).not.toMatch(/[x-]{201}/);
  });
});
