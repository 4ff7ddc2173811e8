// Prices of job classes: each has one, by the machine that its job fills and by the largest that it may get.
import { expect, it } from 'vitest';
import { JOB_CLASS_NAMES, JOB_CLASSES } from '../../../../contracts/src/job-classes.ts';
import { hourlyUsd, stageCost } from '../../../../trainer/control/plan/prices.ts';

it.each(JOB_CLASS_NAMES)(
  'an hour of class %s has a price, and its limit is the price of every hour it may take',
  (name) => {
    const { expected, most } = hourlyUsd(name);
    expect(expected).toBeGreaterThan(0);
    expect(most).toBeGreaterThanOrEqual(expected);
    const { estimatedUsd, limitUsd } = stageCost(name, 3600);
    expect(estimatedUsd).toBeCloseTo(expected);
    expect(limitUsd).toBe(most * JOB_CLASSES[name].timeout_hours);
  },
);

it('prices one GPU by the size of the machine: 4 processors for embed, 8 for train, 16 at most', () => {
  expect(hourlyUsd('embed')).toEqual({ expected: 1.861, most: 3.00424 });
  expect(hourlyUsd('train')).toEqual({ expected: 2.24208, most: 3.00424 });
});

it('prices machines side by side each, and one L40S for itself by the one machine that has its memory', () => {
  expect(hourlyUsd('train_2x8_h100')).toEqual({ expected: 2 * 55.04, most: 2 * 55.04 });
  expect(hourlyUsd('train_l40s')).toEqual({ expected: 3.00424, most: 3.00424 });
  expect(hourlyUsd('train_4_l40s')).toEqual({ expected: 10.49264, most: 30.13118 });
});

it('prices a job without a GPU by its processors and memory', () => {
  expect(hourlyUsd('cpu').expected).toBeCloseTo(4 * 0.04048 + 16 * 0.004445);
});

it('estimates nothing without an earlier run', () => {
  expect(stageCost('train', undefined).estimatedUsd).toBeUndefined();
});
