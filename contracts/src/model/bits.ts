// The two kinds of bits that a model may write.
import * as z from 'zod';

export const Bits = z.enum(['rotated', 'signs']).meta({
  title: 'Bits',
  description:
    'What the bits of vectors say. `signs`: which numbers of the vector are above zero. `rotated`: which are after a fixed ' +
    'pseudo-random rotation of the vector at its length, which docs/vectors.md defines: all of them then tell as much, and ' +
    'how many differ tells the angle. Bits of one kind or length must not be compared with those of another.',
});
export type Bits = z.infer<typeof Bits>;
