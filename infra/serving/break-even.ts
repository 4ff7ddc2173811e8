// When a machine with a GPU is the cheaper image encoder: a closed form of prices and measured rates. Pure.
import { CALL_IMAGES } from '../../contracts/src/api/encode.ts';
import { PRICE_TABLE } from '../../contracts/src/cloud/prices.ts';
import { CORE_SECONDS } from '../../contracts/src/cloud/rates.ts';
import type { Settings } from '../base/settings.ts';
import { GPU_FUNCTION } from './gpu-machines.ts';

/** Of the function on processors. */
export const ENCODER_MEMORY_MIB = 3008;
/** Lambda gives a function a whole vCPU at this memory, and the share of it below and above. */
const MIB_A_VCPU = 1769;

const HOURS_A_MONTH = 730;
const SECONDS_A_MONTH = HOURS_A_MONTH * 3600;

export interface Processors {
  gib: number;
  vcpus: number;
  usdPerGibSecond: number;
  usdPerCall: number;
  imagesPerCall: number;
  /** Of one core, from an image's bytes to its vector. */
  secondsPerImage: number;
}

export interface GpuMachine {
  /** What Lambda adds for looking after it included. */
  usdPerHour: number;
  vcpus: number;
  /** Of one core, from an image's bytes to what the tower reads: the GPU is taken for as fast as it may be. */
  secondsPerImage: number;
}

export interface BreakEven {
  cpu_usd_per_million: number;
  /** Of one machine that runs day and night. */
  gpu_usd_per_month: number;
  /** The most that its processors prepare for the GPU. */
  gpu_images_per_second: number;
  /** From this number on the machine is cheaper; null: it cannot do that many, so that it never is. */
  images_per_month: number | null;
  /** The same while it runs: what an hour of it has to do a second to be worth it. */
  images_per_second: number;
}

/** The machine costs the same whatever it does, the function by the image: they meet where `machine = images * function`. */
export function breakEven(processors: Processors, machine: GpuMachine): BreakEven {
  const { gib, vcpus, usdPerGibSecond, usdPerCall, imagesPerCall, secondsPerImage } = processors;
  const usdPerImage = (secondsPerImage / vcpus) * gib * usdPerGibSecond + usdPerCall / imagesPerCall;
  const usdPerMonth = machine.usdPerHour * HOURS_A_MONTH;
  const images = usdPerMonth / usdPerImage;
  const perSecond = images / SECONDS_A_MONTH;
  const most = machine.vcpus / machine.secondsPerImage;
  return {
    cpu_usd_per_million: usdPerImage * 1e6,
    gpu_usd_per_month: usdPerMonth,
    gpu_images_per_second: most,
    images_per_month: perSecond <= most ? images : null,
    images_per_second: perSecond,
  };
}

/** Of the encoder as it is deployed, with the embedded model; without a GPU in the settings, of the smallest that there could be. */
export function encoderBreakEven({ encoder }: Pick<Settings, 'encoder'>): BreakEven & { machine: string } {
  const { lambda, managed } = PRICE_TABLE;
  const { type, usd } = managed[encoder.gpu?.memory_gib ?? 24];
  const processors = {
    gib: ENCODER_MEMORY_MIB / 1024,
    vcpus: ENCODER_MEMORY_MIB / MIB_A_VCPU,
    usdPerGibSecond: lambda.usd_per_gib_second,
    usdPerCall: lambda.usd_per_call,
    imagesPerCall: CALL_IMAGES,
    secondsPerImage: CORE_SECONDS.image,
  };
  const machine = {
    usdPerHour: usd * (1 + managed.fee),
    vcpus: GPU_FUNCTION.vcpus,
    secondsPerImage: CORE_SECONDS.preparation,
  };
  return { machine: type, ...breakEven(processors, machine) };
}
