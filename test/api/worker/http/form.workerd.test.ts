// Forms of /embed: fields become items in the order sent, files arrive at the encoder byte for byte.
import { describe, expect, test } from 'vitest';
import type { ImageEncoder } from '../../../../api/core/embed.ts';
import { EmbedResponse } from '../../../../contracts/src/api/embed.ts';
import { ErrorBody } from '../../../../contracts/src/api/error.ts';
import { encodedFile } from '../../../support/encode-results.ts';
import { appOf, STATIC, tableModel } from '../table-model.ts';

const source = await tableModel();
/** A GIF of 5 x 5 pixels by its header, with bytes that are no text behind it. */
const gif = Uint8Array.from([...'GIF89a\x05\0\x05\0'].map((c) => c.charCodeAt(0)).concat(0, 255, 128, 13, 10));

async function post(fields: [name: string, value: string | Blob][]) {
  const sent: Uint8Array[] = [];
  const warnings = ['half of it is grey'];
  const images: ImageEncoder = async (files, { embedDim }) => {
    sent.push(...files);
    return files.map(() =>
      encodedFile(
        Float32Array.from({ length: embedDim }, (_, i) => (i === 0 ? 1 : 0)),
        { warnings },
      ),
    );
  };
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  const { app } = appOf(source, { images });
  const response = await app.request('/embed', { method: 'POST', body: form });
  return { sent, answer: await response.json() };
}

describe('a form', () => {
  test('has texts and images in any order, files and base64 alike', async () => {
    const { sent, answer } = await post([
      ['image', new Blob([gif])],
      ['text', 'a dog'],
      ['image', btoa(String.fromCharCode(...gif))],
      ['model', STATIC],
      ['types', 'int8, base64'],
      ['dimensions', '8'],
    ]);
    expect(sent).toEqual([gif, gif]);
    const { data, dimensions } = EmbedResponse.parse(answer);
    expect(dimensions).toBe(8);
    expect(data.map(({ modality }) => modality)).toEqual(['image', 'text', 'image']);
    const picture = { type: 'gif', width: 5, height: 5, warnings: ['half of it is grey'] };
    expect(data.map((item) => item.picture)).toEqual([picture, undefined, picture]);
    for (const { embedding } of data) expect(Object.keys(embedding).sort()).toEqual(['base64', 'int8']);
  });

  test('may write its fields with brackets', async () => {
    const { sent, answer } = await post([
      ['image[]', new Blob([gif])],
      ['text[1]', 'a dog'],
      ['types[]', 'int8'],
      ['model', STATIC],
    ]);
    expect(sent).toEqual([gif]);
    expect(EmbedResponse.parse(answer).data).toHaveLength(2);
  });

  test.each([
    ['an empty file', 'empty_input', 'input.0', [['image', new Blob([])]]],
    [
      'a file that is not an image',
      'not_an_image',
      'input.1',
      [
        ['text', 'dog'],
        ['image', new Blob(['hello'])],
      ],
    ],
    ['a file as text', 'wrong_type', 'text', [['text', new Blob(['dog'])]]],
    ['no field at all', 'empty_input', 'input', [['model', STATIC]]],
    ['the field of a JSON body', 'unknown_key', 'input', [['input', 'a dog']]],
    ['a field that is not known', 'unknown_key', 'colour', [['colour', 'red']]],
    ['a field by the name of a prototype', 'unknown_key', '__proto__', [['__proto__', 'red']]],
    ['a file in the wrong field', 'wrong_type', 'file', [['file', new Blob([gif])]]],
    [
      'an option twice',
      'invalid_request',
      'model',
      [
        ['text', 'dog'],
        ['model', STATIC],
        ['model', 'table'],
      ],
    ],
    [
      'a length in words',
      'invalid_dimensions',
      'dimensions',
      [
        ['text', 'dog'],
        ['dimensions', 'eight'],
      ],
    ],
  ] as [string, string, string, [string, string | Blob][]][])('is refused with %s', async (_, code, param, fields) => {
    const { answer } = await post(fields);
    const { error } = ErrorBody.parse(answer);
    expect([error.code, error.param]).toEqual([code, param]);
  });
});
