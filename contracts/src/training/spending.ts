// What a deployment spends money with, for the switch that stops it: infra says it to the function by an environment variable.
import { z } from 'zod';

export const Spending = z.strictObject({
  queues: z.array(z.string()).min(1).describe('ARNs of the job queues.'),
  state_machine: z.string().describe('ARN of the training state machine.'),
  schedules: z
    .array(
      z.strictObject({
        name: z.string(),
        enabled: z.boolean().describe('Whether the settings switch it on: `resume` starts no other.'),
      }),
    )
    .describe('Schedules of the default group.'),
});
export type Spending = z.infer<typeof Spending>;

/** What the function is called with by a person; a budget calls it by a notification. */
export const SwitchRequest = z.strictObject({
  action: z.enum(['stop', 'resume']),
  reason: z.string().optional().describe('Why, for the report.'),
});
export type SwitchRequest = z.infer<typeof SwitchRequest>;

export const SwitchReport = z.strictObject({
  action: z.enum(['stop', 'resume']),
  reason: z.string(),
  queues: z.int().describe('Queues that were switched.'),
  schedules: z.int().describe('Schedules that were switched.'),
  executions: z.int().describe('Executions that were stopped.'),
  jobs: z.int().describe('Jobs that were ended; they save a checkpoint, and the same command goes on from it.'),
});
export type SwitchReport = z.infer<typeof SwitchReport>;
