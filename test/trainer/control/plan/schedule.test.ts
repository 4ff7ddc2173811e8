// The time of stages side by side, against schedules drawn by hand.
import { expect, it } from 'vitest';
import { secondsSideBySide } from '../../../../trainer/control/plan/schedule.ts';

/** `teacher` and `images` need nothing of each other, `student` both. */
const STAGES = [
  { id: 'teacher', needs: ['prepare'], seconds: 50 },
  { id: 'vocabulary', needs: ['teacher'], seconds: 10 },
  { id: 'images', needs: ['prepare'], seconds: 70 },
  { id: 'student', needs: ['vocabulary', 'images'], seconds: 30 },
];

it.each([
  ['one after the other', 1, 160],
  ['two at a time', 2, 100],
  ['with more places than can be used', 8, 100],
])('%s', (_, places, seconds) => {
  expect(secondsSideBySide(STAGES, places)).toBe(seconds);
});

it('begins the first in the list that can, though another order would be shorter', () => {
  // 0-2 a and b, 2-8 c; with c first all were done after 6.
  const seeds = [2, 2, 6].map((seconds, index) => ({ id: `seed-${index}`, needs: [], seconds }));
  expect(secondsSideBySide(seeds, 2)).toBe(8);
});

it('of nothing is none, and stages of unknown length hold nobody up', () => {
  expect(secondsSideBySide([], 2)).toBe(0);
  expect(
    secondsSideBySide(
      STAGES.map((stage) => ({ ...stage, seconds: 0 })),
      1,
    ),
  ).toBe(0);
});
