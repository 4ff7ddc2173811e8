// Shards of bulk jobs on machines with a GPU: the queue, and what their container is other than that of processors.
import { Size, Stack } from 'aws-cdk-lib';
import * as batch from 'aws-cdk-lib/aws-batch';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Construct } from 'constructs';
import { GPU_SHARD } from '../../contracts/src/cloud/bulk-estimate.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { imageDigest } from '../base/parameter.ts';
import type { Settings } from '../base/settings.ts';
import { GpuFleet } from '../fleets/gpu-fleet.ts';
import { bulkMachinesOf } from '../fleets/machine-kinds.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';

export interface GpuShardsProps {
  settings: Settings;
  network: Network;
  storage: Storage;
  /** What a shard's container is on whatever machine. */
  container: Omit<batch.EcsEc2ContainerDefinitionProps, 'image' | 'cpu' | 'memory'>;
}

/** Undefined where the settings have none. */
export function gpuShards(scope: Construct, { settings, network, storage, container }: GpuShardsProps) {
  const machines = bulkMachinesOf(settings);
  if (machines === undefined) return undefined;
  // Jobs of this queue do not follow one another as the stages of a recipe do.
  const { queue } = new GpuFleet(scope, 'GpuFleet', { settings, network, machines, idleMinutes: undefined });
  const rendered = new batch.EcsEc2ContainerDefinition(scope, 'GpuContainer', {
    ...container,
    // That of the function with a GPU, which is for x86-64, as the machines are.
    image: ecs.ContainerImage.fromEcrRepository(
      storage.encoderImages,
      imageDigest(Stack.of(scope), 'EncoderGpuImageDigest'),
    ),
    environment: { ...container.environment, [ENVARS.encoderProvider]: 'cuda' },
    cpu: GPU_SHARD.vcpus,
    memory: Size.mebibytes(GPU_SHARD.memory_mib),
    gpu: GPU_SHARD.gpus,
    privileged: false,
    linuxParameters: new batch.LinuxParameters(scope, 'GpuLinux', { initProcessEnabled: true }),
  });
  return { queue, container: rendered };
}
