// What bulk work is estimated to take: hours and dollars by hand, for a machine of one's own and for shards on AWS.
import { describe, expect, it } from 'vitest';
import { estimateBulk, machinesFor, ownMachine, SHARD_MACHINE } from '../../../contracts/src/cloud/bulk-estimate.ts';

/** 4 vCPUs and 8 GiB of Fargate on arm64 by its list price, an hour. */
const USD = 4 * 0.03238 + 8 * 0.00356;
/** Images that four cores encode in an hour. */
const AN_HOUR = 47.9 * 4 * 3600;

function onAws(images: number, shards: number) {
  return estimateBulk({ images, tokens: 0 }, { shards, tier: 'student', machine: SHARD_MACHINE });
}

describe('an estimate', () => {
  it('of images is their seconds of a core, shared by the cores', () => {
    const found = estimateBulk({ images: 47_900, tokens: 0 }, { shards: 47, tier: 'student', machine: ownMachine(4) });
    expect(found).toEqual({ images: 47_900, tokens: 0, hours: expect.closeTo(1000 / 4 / 3600, 9), usd: null });
  });

  it('of texts goes by the tier that reads them', () => {
    const of = (tier: 'student' | 'static') =>
      estimateBulk({ images: 0, tokens: 256_000 }, { shards: 1, tier, machine: ownMachine(1) }).hours * 3600;
    expect(of('student')).toBeCloseTo(142);
    expect(of('static')).toBeCloseTo((256_000 * 43e-6) / 77);
  });

  it('on AWS is at least the minute that each machine is charged for', () => {
    const small = onAws(100, 1);
    expect(small).toMatchObject({ hours: expect.closeTo(1 / 60, 9), usd: expect.closeTo(USD / 60, 9) });
    const large = onAws(AN_HOUR, 800);
    expect(large).toMatchObject({ hours: expect.closeTo(1, 9), usd: expect.closeTo(USD, 9) });
    // Were every shard a machine, these minutes would be thirteen hours: the share is what they are charged for.
    const machine = { ...SHARD_MACHINE, shareSeconds: 1 };
    const shared = estimateBulk({ images: AN_HOUR, tokens: 0 }, { shards: 800, tier: 'student', machine });
    expect(shared.hours).toBeCloseTo((800 * 60) / 3600, 9);
  });
});

describe('the machines of a job on AWS', () => {
  const count = (images: number | null, shards: number) =>
    machinesFor(images === null ? null : { images, tokens: 0 }, { shards, tier: 'student', machine: SHARD_MACHINE });

  it('have a quarter of an hour of work each, about', () => {
    expect(count(AN_HOUR * 0.99, 800)).toBe(4);
    expect(count(AN_HOUR * 1.01, 800)).toBe(5);
    expect(count(100, 1)).toBe(1);
  });

  it('are never more than there are shards, which are no more than an array job has children', () => {
    expect(count(AN_HOUR, 3)).toBe(3);
    expect(count(1e12, 10_000)).toBe(10_000);
  });

  it('take each of the tars that nobody has opened for as full as it may be', () => {
    // 20,000 images are 104 s of four cores: eight of them in a quarter of an hour, and a bit.
    expect([count(null, 1), count(null, 8), count(null, 9)]).toEqual([1, 1, 2]);
  });

  it('are one where a machine is not started anew for a part', () => {
    expect(machinesFor({ images: 1e9, tokens: 0 }, { shards: 9, tier: 'student', machine: ownMachine(1) })).toBe(1);
  });
});
