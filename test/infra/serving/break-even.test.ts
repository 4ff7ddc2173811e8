// From how many images on a machine with a GPU is the cheaper encoder: the closed form, and what is printed of it.
import { expect, it } from 'vitest';
import { settingsOf } from '../../../infra/environments.ts';
import { breakEven, encoderBreakEven } from '../../../infra/serving/break-even.ts';

/** A hundredth of a second of a core for an image, one vCPU of one GiB at $1e-5: $1e-7 an image, and as much of a call of ten. */
const processors = {
  gib: 1,
  vcpus: 1,
  usdPerGibSecond: 1e-5,
  usdPerCall: 1e-6,
  imagesPerCall: 10,
  secondsPerImage: 0.01,
};
/** $730 a month; 500 images a second. */
const machine = { usdPerHour: 1, vcpus: 5, secondsPerImage: 0.01 };

it('the two meet where the images cost what the machine costs', () => {
  const found = breakEven(processors, { ...machine, usdPerHour: 0.1 });
  expect(found.cpu_usd_per_million).toBeCloseTo(0.2);
  expect(found.gpu_usd_per_month).toBeCloseTo(73);
  expect(found.images_per_month).toBeCloseTo(73 / 2e-7);
  // Dollars an hour over dollars an image, in seconds.
  expect(found.images_per_second).toBeCloseTo(0.1 / 2e-7 / 3600);
  expect(found.gpu_images_per_second).toBeCloseTo(500);
});

it('twice the work an image, of the tower alone, halves the images; twice the price of the machine doubles them', () => {
  const free = { ...processors, usdPerCall: 0 };
  const { images_per_second: once } = breakEven(free, machine);
  expect(breakEven({ ...free, secondsPerImage: 0.02 }, machine).images_per_second).toBeCloseTo(once / 2);
  expect(breakEven(free, { ...machine, usdPerHour: 2 }).images_per_second).toBeCloseTo(2 * once);
  expect(breakEven({ ...free, vcpus: 2 }, machine).images_per_second).toBeCloseTo(2 * once);
});

it('a machine that cannot prepare so many images is never the cheaper one', () => {
  // $1 an hour at $2e-7 an image: 1,389 a second, of which it prepares 500.
  expect(breakEven(processors, machine)).toMatchObject({ images_per_month: null });
  expect(breakEven(processors, { ...machine, vcpus: 14 }).images_per_month).toBeCloseTo(730 / 2e-7);
});

it("the encoder's own: its price a million by hand, and the larger GPU of the settings", () => {
  const found = encoderBreakEven(settingsOf('prod'));
  // 1/50.2 s of a core, 1.7 of them, 2.9375 GiB at $1.33334e-5 a second, and an eighth of a call.
  const byHand = ((1 / 50.2 / (3008 / 1769)) * 2.9375 * 1.33334e-5 + 2e-7 / 8) * 1e6;
  expect(found.machine).toBe('g6.2xlarge');
  expect(found.cpu_usd_per_million).toBeCloseTo(byHand);
  expect(found.gpu_usd_per_month).toBeCloseTo(0.9776 * 1.15 * 730);
  expect(found.images_per_month).toBeCloseTo((found.gpu_usd_per_month / byHand) * 1e6, -3);

  const gpu = { memory_gib: 48, least_machines: 0, most_machines: 1 } as const;
  const large = encoderBreakEven({ encoder: { ...settingsOf('prod').encoder, gpu } });
  expect(large).toMatchObject({ machine: 'g6e.2xlarge', images_per_month: null });
});
