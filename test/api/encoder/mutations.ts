// Damage to image files as it comes about: bytes that flipped, files that were cut, headers of something else, sides that cannot be.
import { claiming } from './bombs.ts';

export const MUTATIONS = ['flip', 'cut', 'header', 'sides', 'splice'] as const;
export type Mutation = (typeof MUTATIONS)[number];

/** Numbers below a bound, the same for the same seed (a linear congruential generator, its high bits). */
export function drawing(seed: number): (below: number) => number {
  let state = (seed * 2_654_435_761) % 2 ** 32;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Sides above every limit, or none. */
const SIDES = [
  [60_000, 60_000],
  [65_535, 20_000],
  [16_384, 16_384],
  [0, 100],
] as const;
/** Beginnings of other files, of images and not. */
const HEADERS = [
  'GIF89a',
  '\x89PNG\r\n\x1a\n',
  'RIFF\x10\0\0\0WEBPVP8 ',
  '\xff\xd8\xff\xe0',
  'BM',
  '%PDF-1.7',
  '<svg ',
];

/** The file after one kind of damage; the same seed does the same. */
export function mutated(file: Uint8Array, mutation: Mutation, seed: number): Buffer {
  const draw = drawing(seed);
  const bytes = Buffer.from(file);
  const at = () => draw(bytes.length);
  switch (mutation) {
    case 'flip':
      for (let left = 1 + draw(16); left > 0; left--) {
        const place = at();
        bytes[place] = (bytes[place] ?? 0) ^ (1 << draw(8));
      }
      return bytes;
    case 'cut':
      return bytes.subarray(0, at());
    case 'header': {
      const others = HEADERS.filter(
        (header) => !bytes.subarray(0, 3).equals(Buffer.from(header.slice(0, 3), 'latin1')),
      );
      bytes.write(others[draw(others.length)] ?? '', 0, 'latin1');
      return bytes;
    }
    case 'sides': {
      const [width, height] = SIDES[draw(SIDES.length)] ?? [0, 0];
      return claiming(bytes, width, height);
    }
    case 'splice': {
      const [from, to] = [at(), at()].toSorted((a, b) => a - b) as [number, number];
      // Once, what is between is gone, once it is there twice.
      return draw(2) === 0
        ? Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
        : Buffer.concat([bytes.subarray(0, to), bytes.subarray(from)]);
    }
  }
}
