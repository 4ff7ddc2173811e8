// List prices of AWS, in one dated table that every estimate of costs is made from.

/** US dollars on demand, Linux, as published by that day in that region; check them before a large run. Spot costs less. */
export const PRICE_TABLE = {
  date: '2026-08-17',
  region: 'us-east-1',
  /** Machines by queue, in the order of their size; of several kinds of one size the most expensive one. Dollars an hour. */
  gpu: [
    { type: 'g6e.xlarge', vcpus: 4, gpus: 1, usd: 1.861 },
    { type: 'g6e.2xlarge', vcpus: 8, gpus: 1, usd: 2.24208 },
    { type: 'g6e.4xlarge', vcpus: 16, gpus: 1, usd: 3.00424 },
  ],
  gpus: [
    { type: 'g6e.12xlarge', vcpus: 48, gpus: 4, usd: 10.49264 },
    { type: 'g6e.48xlarge', vcpus: 192, gpus: 8, usd: 30.13118 },
  ],
  h100: [
    { type: 'p5.4xlarge', vcpus: 16, gpus: 1, usd: 6.88 },
    { type: 'p5.48xlarge', vcpus: 192, gpus: 8, usd: 55.04 },
  ],
  nodes: [{ type: 'p5.48xlarge', vcpus: 192, gpus: 8, usd: 55.04 }],
  /** An hour, by processor. */
  fargate: {
    x86_64: { usd_per_vcpu: 0.04048, usd_per_gib: 0.004445 },
    arm64: { usd_per_vcpu: 0.03238, usd_per_gib: 0.00356 },
  },
  /** Functions on arm64. */
  lambda: { usd_per_gib_second: 0.0000133334, usd_per_call: 0.0000002 },
  /** Machines that functions with a GPU run on, by the memory of the GPU; Lambda adds a part of the price for looking after them. */
  managed: {
    fee: 0.15,
    24: { type: 'g6.2xlarge', vcpus: 8, usd: 0.9776 },
    48: { type: 'g6e.2xlarge', vcpus: 8, usd: 2.24208 },
  },
} as const;

/** An hour of a container on Fargate. */
export function fargateHourlyUsd(
  { vcpus, memory_mib }: { vcpus: number; memory_mib: number },
  processor: keyof typeof PRICE_TABLE.fargate,
): number {
  const { usd_per_vcpu, usd_per_gib } = PRICE_TABLE.fargate[processor];
  return vcpus * usd_per_vcpu + (memory_mib / 1024) * usd_per_gib;
}
