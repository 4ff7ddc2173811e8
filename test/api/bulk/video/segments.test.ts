// Vectors of frames joined to those of segments and of a whole video, against the closed form.
import { expect, test } from 'vitest';
import { joinFrames, type VideoPart } from '../../../../api/bulk/video/segments.ts';

async function* from(vectors: number[][]): AsyncGenerator<Float32Array> {
  for (const vector of vectors) yield Float32Array.from(vector);
}

const [EAST, NORTH] = [
  [1, 0],
  [0, 1],
];
const [ROOT_HALF, FIFTH] = [Math.SQRT1_2, 1 / Math.sqrt(5)];
const close = (values: number[]) => values.map((value) => expect.closeTo(value, 6));
const valuesOf = ({ vector }: VideoPart): number[] => Array.from(vector);

test('a segment is the mean of its frames, the whole the mean of all of them, however it is cut', async () => {
  // At 0, 1 and 2 s, of a video of 2.5 s.
  const frames = [EAST, NORTH, EAST] as number[][];
  const options = { seconds: 2.5, timeOf: (frame: number) => frame };
  const two = await joinFrames(from(frames), { ...options, segmentSeconds: 2 });
  expect(two.segments.map(({ span }) => span)).toEqual([
    { start_seconds: 0, end_seconds: 2, frames: 2 },
    { start_seconds: 2, end_seconds: 2.5, frames: 1 },
  ]);
  expect(two.segments.map(valuesOf)).toEqual([close([ROOT_HALF, ROOT_HALF]), [1, 0]]);
  // (2, 1) at unit length: not the mean of the two segments' vectors, in which the last frame would count twice.
  expect(valuesOf(two.whole)).toEqual(close([2 * FIFTH, FIFTH]));
  const one = await joinFrames(from(frames), { ...options, segmentSeconds: 1 });
  expect(one.segments.map(valuesOf)).toEqual(frames);
  expect(one.whole).toEqual(two.whole);
});

test('a segment in which no frame lies has no vector, and a frame at its beginning is in it in spite of rounding', async () => {
  const timeOf = (frame: number) => frame * 0.3;
  const { segments } = await joinFrames(from(new Array(11).fill(EAST)), { seconds: 3.3, timeOf, segmentSeconds: 0.1 });
  expect(segments.map(({ span }) => span.start_seconds)).toEqual([0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7, 3]);
});

test('what is not finite, or cancels out, has no vector', async () => {
  const options = { seconds: 2, timeOf: (frame: number) => frame, segmentSeconds: 10 };
  await expect(joinFrames(from([[Number.NaN, 0]]), options)).rejects.toThrow('not a finite unit vector');
  await expect(joinFrames(from([EAST as number[], [-1, 0]]), options)).rejects.toThrow('not a finite unit vector');
});
