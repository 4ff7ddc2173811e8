// Training as a whole: fleets, job definitions, the pipeline that runs jobs and the schedule that starts it.
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { bySomeJobClasses, QUEUES, type Queue } from '../../contracts/src/job-classes.ts';
import { pascal } from '../../contracts/src/outputs.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import { CpuFleet } from '../fleets/cpu-fleet.ts';
import { GpuFleet } from '../fleets/gpu-fleet.ts';
import { holds, machinesOf } from '../fleets/machine-kinds.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';
import { ControlFunctions } from './control-functions.ts';
import { JobDefinitions } from './job-definitions.ts';
import { Arrival } from './pipeline/arrival.ts';
import { Pipeline } from './pipeline/pipeline.ts';
import { Schedule } from './pipeline/schedule.ts';

export interface TrainingProps {
  settings: Settings;
  /** Where jobs run. */
  network: Network;
  /** What jobs and functions read and write. */
  storage: Storage;
}

export class Training extends Construct {
  /** Where jobs run, by the kinds of queue that the settings ask for. */
  readonly fleets: Readonly<Partial<Record<Queue, CpuFleet | GpuFleet>>>;
  readonly definitions: JobDefinitions;
  readonly logGroup: logs.LogGroup;
  readonly pipeline: Pipeline;
  readonly schedule: Schedule;
  /** By stage, the digest of the source that the image's jobs execute. */
  readonly code: Readonly<Record<string, string>>;

  constructor(scope: Construct, id: string, { settings, network, storage }: TrainingProps) {
    super(scope, id);
    this.logGroup = createLogGroup(this, 'Logs', settings);
    const fleets: Partial<Record<Queue, CpuFleet | GpuFleet>> = {
      cpu: new CpuFleet(this, 'CpuFleet', { most: settings.cpu, network }),
    };
    for (const queue of QUEUES) {
      const machines = queue === 'cpu' ? undefined : machinesOf(queue, settings);
      if (machines !== undefined)
        fleets[queue] = new GpuFleet(this, `${pascal(queue)}Fleet`, {
          settings,
          network,
          machines,
          // The stages of a recipe come one after the other.
          idleMinutes: settings.gpu.idle_minutes,
        });
    }
    this.fleets = fleets;
    const fleetOf = bySomeJobClasses((_, resources) => {
      const fleet = fleets[resources.queue];
      return fleet instanceof GpuFleet && !holds(fleet.machines, resources) ? undefined : fleet;
    });
    this.definitions = new JobDefinitions(this, 'Jobs', { storage, network, logGroup: this.logGroup, fleets: fleetOf });
    const queues = bySomeJobClasses((jobClass) => fleetOf[jobClass]?.queue);
    const functions = new ControlFunctions(this, 'Control', {
      settings,
      storage,
      queues,
      definitions: this.definitions.byClass,
    });
    this.code = functions.code;
    this.pipeline = new Pipeline(this, 'Pipeline', { settings, storage, functions });
    this.definitions.grantSubmit(
      this.pipeline.role,
      Object.values(this.fleets).map(({ queue }) => queue),
    );
    const { stateMachine } = this.pipeline;
    this.schedule = new Schedule(this, 'Schedule', { settings, stateMachine });
    new Arrival(this, 'Arrival', { storage, stateMachine, deadLetters: this.schedule.deadLetters });
  }
}
