// Training as a whole: fleets, job definitions, the pipeline that runs jobs and the schedule that starts it.
import type * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { byJobClass, type Queue } from '../../contracts/src/job-classes.ts';
import { createLogGroup } from '../base/retention.ts';
import type { Settings } from '../base/settings.ts';
import type { Network } from '../network/network.ts';
import type { Storage } from '../storage/storage.ts';
import { ControlFunctions } from './control-functions.ts';
import { CpuFleet } from './fleets/cpu-fleet.ts';
import { GpuFleet } from './fleets/gpu-fleet.ts';
import { JobDefinitions } from './job-definitions.ts';
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
  /** Where jobs run, by kind of queue. */
  readonly fleets: Readonly<Record<Queue, CpuFleet | GpuFleet>>;
  readonly definitions: JobDefinitions;
  readonly logGroup: logs.LogGroup;
  readonly pipeline: Pipeline;
  readonly schedule: Schedule;

  constructor(scope: Construct, id: string, { settings, network, storage }: TrainingProps) {
    super(scope, id);
    this.logGroup = createLogGroup(this, 'Logs', settings);
    this.fleets = {
      cpu: new CpuFleet(this, 'CpuFleet', { settings, network }),
      gpu: new GpuFleet(this, 'GpuFleet', { settings, network }),
    };
    this.definitions = new JobDefinitions(this, 'Jobs', { storage, network, logGroup: this.logGroup });
    const queues = byJobClass((_, { queue }) => this.fleets[queue].queue);
    const functions = new ControlFunctions(this, 'Control', {
      settings,
      storage,
      queues,
      definitions: this.definitions.byClass,
    });
    this.pipeline = new Pipeline(this, 'Pipeline', { settings, storage, functions });
    this.definitions.grantSubmit(
      this.pipeline.role,
      Object.values(this.fleets).map(({ queue }) => queue),
    );
    this.schedule = new Schedule(this, 'Schedule', { settings, stateMachine: this.pipeline.stateMachine });
  }
}
