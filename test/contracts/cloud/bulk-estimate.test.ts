// Estimates of bulk work: hours and dollars by hand, for a machine of one's own and for shards on AWS.
import { describe, expect, it } from 'vitest';
import {
  type BulkMachine,
  chooseMachine,
  estimateBulk,
  estimateVideo,
  GPU_SHARD_MACHINE,
  machinesFor,
  ownMachine,
  PROCESS_MIB,
  SHARD,
  SHARD_MACHINE,
} from '../../../contracts/src/cloud/bulk-estimate.ts';

/** 4 vCPUs and 8 GiB of Fargate on arm64 by its list price, an hour. */
const USD = 4 * 0.03238 + 8 * 0.00356;
/** Images that four cores encode in an hour. */
const AN_HOUR = 50.2 * 4 * 3600;

function onAws(images: number, shards: number) {
  return estimateBulk({ images, tokens: 0 }, { shards, tier: 'student', machine: SHARD_MACHINE });
}

describe('an estimate', () => {
  it('of images is their seconds of a core, shared by the cores', () => {
    const found = estimateBulk({ images: 50_200, tokens: 0 }, { shards: 47, tier: 'student', machine: ownMachine(4) });
    expect(found).toEqual({ images: 50_200, tokens: 0, hours: expect.closeTo(1000 / 4 / 3600, 9), usd: null });
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

describe('the memory of a child', () => {
  it('is enough for a process a core', () => {
    expect(SHARD.vcpus * PROCESS_MIB).toBeLessThanOrEqual(SHARD.memory_mib);
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
    // 20,000 images are 99.6 s of four cores: nine of them are a quarter of an hour, nearly.
    expect([count(null, 1), count(null, 9), count(null, 10)]).toEqual([1, 1, 2]);
  });

  it('are one where a machine is not started anew for a part', () => {
    expect(machinesFor({ images: 1e9, tokens: 0 }, { shards: 9, tier: 'student', machine: ownMachine(1) })).toBe(1);
  });
});

describe('a machine with a GPU', () => {
  const onGpu = (images: number, tokens = 0) =>
    estimateBulk({ images, tokens }, { shards: 800, tier: 'student', machine: GPU_SHARD_MACHINE });

  it('does what its four processors decode and resize, 3.5 ms an image, at the price of the most expensive kind', () => {
    expect(onGpu(1e6)).toMatchObject({
      hours: expect.closeTo((1e6 * 0.0035) / 4 / 3600, 9),
      usd: expect.closeTo(((1e6 * 0.0035) / 4 / 3600) * 1.861, 9),
    });
    // Texts are read by the processors there, too.
    expect(onGpu(0, 1e7).hours).toBeCloseTo((1e7 * 0.142) / 256 / 4 / 3600, 9);
  });

  it('is charged for the five minutes that it takes to start', () => {
    expect(onGpu(100).hours).toBeCloseTo(5 / 60, 9);
  });
});

describe('what a job is encoded on', () => {
  /** Costs a dollar an hour, and is never charged for less than it works. */
  const machine = (imageSeconds: number, usdPerHour = 1): BulkMachine => {
    return { cores: 1, imageSeconds, leastSeconds: 0, shareSeconds: 3600, usdPerHour };
  };
  const cpu = machine(0.1);
  const images = { images: 36_000, tokens: 0 };
  const chosen = (
    gpu: BulkMachine | undefined,
    asked: 'cpu' | 'gpu' | null = null,
    work: typeof images | null = images,
  ) => chooseMachine(work, { shards: 36, tier: 'student', machines: { cpu, gpu }, asked });

  it.each([
    ['without a GPU', undefined, null, 'cpu'],
    ['asked for processors', machine(0.001), 'cpu', 'cpu'],
    ['asked for a GPU that costs more', machine(0.1, 9), 'gpu', 'gpu'],
    // An hour of processors is a dollar.
    ['a GPU that costs less', machine(0.01, 9.9), null, 'gpu'],
    ['a GPU that costs the same', machine(0.01, 10), null, 'cpu'],
    ['a GPU that costs more', machine(0.01, 10.1), null, 'cpu'],
  ] as const)('%s', (_, gpu, asked, kind) => {
    expect(chosen(gpu, asked)).toBe(kind);
  });

  it('is processors where nobody knows what there is to embed, and texts are no work for a GPU', () => {
    expect(chosen(machine(0.001), null, null)).toBe('cpu');
    expect(chosen(machine(0.001), 'gpu', null)).toBe('gpu');
    const texts = { images: 0, tokens: 1e6 };
    expect(chosen(machine(0.001), null, texts)).toBe('cpu');
  });

  it('by the rates and prices of today is processors, however many images there are: the embedded tower is small', () => {
    const machines = { cpu: SHARD_MACHINE, gpu: GPU_SHARD_MACHINE };
    for (const images of [1, 1e4, 1e7])
      expect(chooseMachine({ images, tokens: 0 }, { shards: 100, tier: 'student', machines, asked: null })).toBe('cpu');
  });
});

describe('what videos take', () => {
  /** Seconds of a core: of a second of video, and of a frame that is taken of it. */
  const [SECOND, FRAME] = [0.025, 1 / 18 - 0.025];

  it('is by the hour that is decoded and the frames that are taken, and one longer than it may be takes no more', () => {
    const found = estimateVideo({ frames: { per_second: 2, most: 3600 }, segment_seconds: 10 }, ownMachine(4));
    expect(found).toEqual({
      hours: expect.closeTo(SECOND / 4 + (2 * FRAME) / 4, 9),
      usd: null,
      most_hours: expect.closeTo((1800 * SECOND + 3600 * FRAME) / 4 / 3600, 9),
    });
  });

  it('with as many frames of each is all of the longest that is decoded', () => {
    const found = estimateVideo({ frames: { count: 8 }, segment_seconds: 10 }, SHARD_MACHINE);
    const hours = (3600 * SECOND + 8 * FRAME) / 4 / 3600;
    expect(found).toEqual({
      hours: expect.closeTo(hours, 9),
      usd: expect.closeTo(hours * USD, 9),
      most_hours: expect.closeTo((6 * 3600 * SECOND + 8 * FRAME) / 4 / 3600, 9),
    });
  });
});
