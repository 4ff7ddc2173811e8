// The machines of the image encoder with a GPU: which kind, how many, and how much of one its function takes. Pure.
import { PRICE_TABLE } from '../../contracts/src/cloud/prices.ts';
import type { Settings } from '../base/settings.ts';

export type GpuSettings = NonNullable<Settings['encoder']['gpu']>;

/** Of a machine's processors and memory: half, which is what AWS's own test of functions with a GPU asks for. */
export const GPU_FUNCTION = { memory_mib: 16_384, vcpus: 4 } as const;

/** One more than calls may use: a new version starts beside the one that answers. */
export function gpuMachines({ memory_gib, most_machines }: GpuSettings) {
  const { type, vcpus } = PRICE_TABLE.managed[memory_gib];
  return { types: [{ type, vcpus }], onDemandMaxVcpus: (most_machines + 1) * vcpus };
}
