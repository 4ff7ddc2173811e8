// What bulk work is estimated to take: hours and dollars by hand, for a machine of one's own and for shards on AWS.
import { describe, expect, it } from 'vitest';
import { estimateBulk, ownMachine, SHARD_MACHINE } from '../../../contracts/src/cloud/bulk-estimate.ts';

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

  it('on AWS is at least the minute that each shard is charged for', () => {
    // 4 vCPUs and 8 GiB of Fargate on arm64 by its list price.
    const usd = 4 * 0.03238 + 8 * 0.00356;
    const small = estimateBulk({ images: 1000, tokens: 0 }, { shards: 60, tier: 'student', machine: SHARD_MACHINE });
    expect(small).toMatchObject({ hours: 1, usd: expect.closeTo(usd, 9) });
    // 47.9 * 4 * 3600 images are an hour of four cores.
    const images = 47.9 * 4 * 3600;
    const large = estimateBulk({ images, tokens: 0 }, { shards: 59, tier: 'student', machine: SHARD_MACHINE });
    expect(large).toMatchObject({ hours: expect.closeTo(1, 9), usd: expect.closeTo(usd, 9) });
  });
});
