// Images written as text: what stands for the same bytes is taken, and each thing that does not is told apart.
import { describe, expect, test } from 'vitest';
import { imageBytes } from '../../../../api/core/images/check.ts';

/** Bytes whose base64 has + and / in it. */
const BYTES = Uint8Array.of(251, 239, 190, 255, 254, 63, 7);
const BASE64 = btoa(String.fromCharCode(...BYTES));
const URL_SAFE = BASE64.replaceAll('+', '-').replaceAll('/', '_');

describe('the same bytes', () => {
  test.each([
    ['base64', BASE64],
    ['base64 without padding', BASE64.replace(/=+$/, '')],
    ['base64 in lines', `${BASE64.slice(0, 4)}\r\n${BASE64.slice(4, 8)}\n ${BASE64.slice(8)}\n`],
    ['the alphabet for URLs', URL_SAFE],
    ['the alphabet for URLs without padding', URL_SAFE.replace(/=+$/, '')],
    ['a data URI', `data:image/jpeg;base64,${BASE64}`],
    ['a data URI in capitals', `DATA:IMAGE/PNG;BASE64,${BASE64}`],
    ['a data URI with a parameter', `data:image/png;charset=utf-8;base64,${BASE64}`],
    ['a data URI without a type', `data:;base64,${BASE64}`],
    ['a data URI that is percent-coded', `data:image/png;base64,${encodeURIComponent(BASE64)}`],
    ['a data URI of the alphabet for URLs', `data:image/png;base64,${URL_SAFE}`],
  ])('are read from %s', (_, text) => {
    expect(BASE64).toMatch(/\+.*\/.*==$/);
    expect(imageBytes(text)).toEqual(BYTES);
  });
});

describe('what stands for no bytes is told apart', () => {
  const cases: [string, string, string, RegExp][] = [
    ['nothing', '', 'empty_input', /empty/],
    ['white space', ' \n', 'empty_input', /empty/],
    ['a data URI without data', 'data:image/png;base64,', 'empty_input', /the data URI holds no data/],
    ['a link', 'https://example.com/dog.jpg', 'not_an_image', /links are not fetched: send the bytes/],
    ['a link to a file', 'file:///etc/passwd', 'not_an_image', /links are not fetched/],
    ['a data URI without a comma', `data:image/png;base64${BASE64}`, 'not_an_image', /no comma/],
    ['a data URI that does not say base64', `data:image/png,${BASE64}`, 'not_an_image', /;base64 before its comma/],
    ['percent-coded base64', encodeURIComponent(BASE64), 'not_an_image', /percent-coded/],
    ['one = too many', `${BASE64}=`, 'not_an_image', /ends in 3 = where 2 belong/],
    ['one = too few', BASE64.slice(0, -1), 'not_an_image', /ends in 1 = where 2 belong/],
    ['a = where none belongs', 'AAAA=', 'not_an_image', /ends in 1 = where none belongs/],
    ['two files in one text', `${BASE64}${BASE64}`, 'not_an_image', /= stands within/],
    ['a character too many', 'AAAAA', 'not_an_image', /5 characters cannot be whole base64/],
    ['two alphabets', '+-AA', 'not_an_image', /two alphabets/],
    ['another character', 'AAAA*AAA', 'not_an_image', /no "\*", which stands at character 5/],
    ['a character of two units', 'AA👍A', 'not_an_image', /no "👍", which stands at character 3/],
    ["Python's way to print bytes", `b'${BASE64}'`, 'not_an_image', /\.decode\(\)/],
    ['the name of an upload', `upload:sha256:${'0'.repeat(64)}`, 'not_an_image', /POST \/embed alone/],
    ["a file's name", 'photo.jpg', 'not_an_image', /file's name/],
  ];
  test.each(cases)('%s', (_, text, code, message) => {
    expect(() => imageBytes(text)).toThrow(expect.objectContaining({ code }));
    expect(() => imageBytes(text)).toThrow(message);
  });

  test('in sentences of which only those that mean the same are the same', () => {
    const sentences = cases.map(([, text]) => {
      try {
        return String(imageBytes(text));
      } catch (error) {
        return String(error);
      }
    });
    // Nothing and white space; the two links.
    expect(new Set(sentences).size).toBe(cases.length - 2);
  });
});
