// Training as a whole: where jobs run, what they are, the pipeline that runs them and the schedule that starts it.
import { RemovalPolicy } from 'aws-cdk-lib';
import * as logs from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { byJobClass } from '../../contracts/src/job-classes.ts';
import type { Settings } from '../environments.ts';
import type { Network } from '../network/network.ts';
import type { Data } from '../storage/storage.ts';
import { ControlFunctions } from './control-functions.ts';
import { CpuFleet } from './fleets/cpu-fleet.ts';
import { GpuFleet } from './fleets/gpu-fleet.ts';
import { JobDefinitions } from './job-definitions.ts';
import { Pipeline } from './pipeline/pipeline.ts';
import { Schedule } from './pipeline/schedule.ts';

export interface TrainingProps {
  settings: Settings;
  network: Network;
  data: Data;
}

export class Training extends Construct {
  /** Where jobs run, by kind of queue. */
  readonly fleets: { cpu: CpuFleet; gpu: GpuFleet };
  readonly definitions: JobDefinitions;
  readonly logGroup: logs.LogGroup;
  readonly pipeline: Pipeline;
  readonly schedule: Schedule;

  constructor(scope: Construct, id: string, { settings, network, data }: TrainingProps) {
    super(scope, id);
    this.logGroup = new logs.LogGroup(this, 'Logs', {
      retention: settings.log_days,
      removalPolicy: settings.retain ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    this.fleets = {
      cpu: new CpuFleet(this, 'CpuFleet', { settings, network }),
      gpu: new GpuFleet(this, 'GpuFleet', { settings, network }),
    };
    this.definitions = new JobDefinitions(this, 'Jobs', { data, network, logGroup: this.logGroup });
    const queues = byJobClass((_, { queue }) => this.fleets[queue].queue);
    const functions = new ControlFunctions(this, 'Control', {
      settings,
      data,
      queues,
      definitions: this.definitions.byClass,
    });
    this.pipeline = new Pipeline(this, 'Pipeline', { settings, data, functions });
    this.definitions.grantSubmit(this.pipeline.role, [this.fleets.cpu.queue, this.fleets.gpu.queue]);
    this.schedule = new Schedule(this, 'Schedule', { settings, stateMachine: this.pipeline.stateMachine });
  }
}
