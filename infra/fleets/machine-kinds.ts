// Machines with GPUs that jobs run on, by queue: which kinds, how many of their processors at most, what they have besides.
import { GPU_SHARD } from '../../contracts/src/cloud/bulk-estimate.ts';
import type { JobResources, Queue } from '../../contracts/src/job-classes.ts';
import type { Settings } from '../base/settings.ts';

/** A kind of machine and its processors. */
interface Kind {
  type: string;
  vcpus: number;
}

export interface Machines {
  types: readonly Kind[];
  /** The most vCPUs on spot and on demand; undefined: no spot. */
  spotMaxVcpus?: number;
  onDemandMaxVcpus: number;
  /** They have disks of their own, which are made one volume for the files of jobs. */
  hasScratch: boolean;
  /** Machines that work together: in one zone, close to each other, with this many EFA interfaces each. */
  efaInterfaces?: number;
}

/** All with one GPU; the smallest holds a job of class `embed`, the middle one a job of class `train`. */
const SIZES = [
  { size: 'xlarge', vcpus: 4 },
  { size: '2xlarge', vcpus: 8 },
  { size: '4xlarge', vcpus: 16 },
];
const oneGpu = ({ families }: Settings['gpu']): Kind[] =>
  families.flatMap((family) => SIZES.map(({ size, vcpus }) => ({ type: `${family}.${size}`, vcpus })));
/** Four and eight L40S. */
const SEVERAL_GPUS: Kind[] = [
  { type: 'g6e.12xlarge', vcpus: 48 },
  { type: 'g6e.48xlarge', vcpus: 192 },
];
/** One and eight H100. */
const H100: Kind[] = [
  { type: 'p5.4xlarge', vcpus: 16 },
  { type: 'p5.48xlarge', vcpus: 192 },
];
const NODES: Kind[] = [{ type: 'p5.48xlarge', vcpus: 192 }];
const P5_EFA_INTERFACES = 32;

/** For shards of bulk jobs: the smallest of each family, which one shard fills; undefined where the settings leave them out. */
export function bulkMachinesOf({ bulk: { gpu }, ...settings }: Pick<Settings, 'bulk' | 'gpu'>): Machines | undefined {
  if (gpu === null) return undefined;
  return {
    types: oneGpu(settings.gpu).filter(({ vcpus }) => vcpus === GPU_SHARD.vcpus),
    spotMaxVcpus: gpu.spot_max_vcpus,
    onDemandMaxVcpus: gpu.on_demand_max_vcpus,
    hasScratch: false,
  };
}

/** Machines of a queue, or undefined where the settings leave them out. */
export function machinesOf(queue: Exclude<Queue, 'cpu'>, settings: Settings): Machines | undefined {
  const { gpu, several_gpus, h100, nodes } = settings;
  switch (queue) {
    case 'gpu':
      return {
        types: oneGpu(gpu),
        spotMaxVcpus: gpu.spot_max_vcpus,
        onDemandMaxVcpus: gpu.on_demand_max_vcpus,
        hasScratch: false,
      };
    case 'gpus':
      if (several_gpus === null) return undefined;
      return {
        types: SEVERAL_GPUS,
        spotMaxVcpus: several_gpus.spot_max_vcpus,
        onDemandMaxVcpus: several_gpus.on_demand_max_vcpus,
        hasScratch: true,
      };
    case 'h100':
      if (h100 === null) return undefined;
      return { types: H100, onDemandMaxVcpus: h100.on_demand_max_vcpus, hasScratch: true };
    case 'nodes':
      if (nodes === null) return undefined;
      return {
        types: NODES,
        onDemandMaxVcpus: nodes.on_demand_max_vcpus,
        hasScratch: true,
        efaInterfaces: P5_EFA_INTERFACES,
      };
  }
}

/** Whether a job fits: one that could never be placed gets no definition. */
export function holds({ types, onDemandMaxVcpus }: Machines, { vcpus, nodes }: JobResources): boolean {
  return nodes * vcpus <= onDemandMaxVcpus && types.some((kind) => kind.vcpus >= vcpus);
}
