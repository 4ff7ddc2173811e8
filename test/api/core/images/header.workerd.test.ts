// Image headers in workerd: type and size of every golden file as Pillow reads them, and of files that are cut off.
import { describe, expect, test } from 'vitest';
import { readImageHeader } from '../../../../api/core/images/header.ts';
import { fromBase64 } from '../../../../api/core/vectors/base64.ts';

const files = import.meta.glob<string>('../../../../contracts/vectors/preprocess/images/*', {
  query: '?inline',
  import: 'default',
  eager: true,
});
const images = Object.entries(files).map(([path, uri]) => ({
  name: path.split('/').at(-1) ?? '',
  bytes: fromBase64(uri.slice(uri.indexOf(',') + 1)),
}));
/** As Pillow says; every other file is 97 x 61. */
const SIZES: Record<string, [number, number]> = {
  column: [1, 57],
  'deep-alpha': [23, 19],
  'deep-grey': [23, 19],
  'deep-rgb': [23, 19],
  dot: [1, 1],
  row: [71, 1],
  tall: [43, 89],
  tiny: [5, 3],
};

describe('the image header', () => {
  test.each(images)('of $name tells type and size', ({ name, bytes }) => {
    const [stem = '', extension = ''] = name.split('.');
    const [width, height] = SIZES[stem] ?? [97, 61];
    const type = extension === 'jpg' ? 'jpeg' : extension;
    expect(readImageHeader(bytes)).toEqual({ type, width, height });
  });

  test('of a file that was cut off is never wrong', () => {
    expect(images.length).toBeGreaterThan(40);
    for (const { name, bytes } of images) {
      const whole = readImageHeader(bytes);
      for (let size = 0; size < Math.min(bytes.length, 700); size++) {
        const cut = readImageHeader(bytes.subarray(0, size));
        expect(['broken', 'unknown', whole], `${name} ${size}`).toContainEqual(cut);
      }
    }
  });

  test.each([
    ['nothing', [], 'unknown'],
    ['a text', 'BM is how this text begins', 'unknown'],
    ['a GIF of no width', 'GIF89a\0\0\x05\0', 'broken'],
    ['a PNG without IHDR', '\x89PNG\r\n\x1a\n\0\0\0\x0dIDATxxxxxxxx', 'broken'],
    ['a JPEG that ends at once', '\xff\xd8\xff\xd9xxxxxxxxx', 'broken'],
  ])('of %s is refused', (_, content, verdict) => {
    const bytes = typeof content === 'string' ? Array.from(content, (c) => c.charCodeAt(0)) : content;
    expect(readImageHeader(Uint8Array.from(bytes))).toBe(verdict);
  });
});
