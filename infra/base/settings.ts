// Schema of an environment's settings, infra/settings/NAME.json. Nothing has a default: every file states every setting.
import { z } from 'zod';
import { PRICE_TABLE } from '../../contracts/src/cloud/prices.ts';
import { RecipeName } from '../../contracts/src/names.ts';

/** The cost guard: more vCPUs than this in one compute environment require an edit of this line. */
export const VCPU_BUDGET = 64;
const Vcpus = (least: number) => z.int().min(least).max(VCPU_BUDGET);
/**
 * The same for machines with several GPUs or an H100: two of the largest. An hour of 48 vCPUs of g6e is about $10, of 192 vCPUs
 * of p5 about $55.
 */
export const LARGE_VCPU_BUDGET = 384;
const LargeVcpus = (least: number) => z.int().min(least).max(LARGE_VCPU_BUDGET);

const ON_SPOT = 'The most vCPUs of spot machines.';
const ON_DEMAND = 'The most vCPUs of on-demand machines, which are started where spot has none.';

/** Machines with one GPU, the largest memory first. */
const GPU_FAMILIES = ['g6e', 'g6', 'g5'] as const;

/** Whether a machine has more than 16 vCPUs: they are four times the number before `xlarge`. */
export const isLarge = (type: string): boolean => Number(/\.(\d+)xlarge$/.exec(type)?.[1] ?? 1) * 4 > 16;

/** CloudWatch accepts only certain retention periods; these are the ones that make sense here. */
const Days = z.union([z.literal(14), z.literal(30), z.literal(90), z.literal(365)]);

/** Machines for one function more than its calls may use, so that its next version starts beside it, stay within the budget. */
const MOST_GPU_MACHINES = VCPU_BUDGET / Math.max(PRICE_TABLE.managed[24].vcpus, PRICE_TABLE.managed[48].vcpus) - 1;
const GpuEncoder = z.strictObject({
  memory_gib: z
    .union([z.literal(24), z.literal(48)])
    .describe('Memory of the GPU: 24 is an L4 (g6.2xlarge), 48 an L40S (g6e.2xlarge).'),
  least_machines: z
    .int()
    .min(0)
    .max(MOST_GPU_MACHINES)
    .describe(
      'Machines that are kept, and paid for, day and night. 0: none; the first large request after a quiet time wakes one, which takes minutes, and the other encoder answers meanwhile.',
    ),
  most_machines: z
    .int()
    .min(1)
    .max(MOST_GPU_MACHINES)
    .describe('Machines at a time, also the limit of what it costs; a new version may have one more while it starts.'),
});

/** What a settings file holds. */
export const SettingsFile = z.strictObject({
  network: z
    .enum(['nat', 'public'])
    .describe(
      '`nat`: machines in private subnets behind one NAT gateway. `public`: public addresses, no ingress, no gateway to pay for.',
    ),
  zones: z
    .int()
    .min(2)
    .max(6)
    .describe(
      'Availability zones with a subnet, from the first on. The more, the likelier a machine is available; a region that has fewer refuses the deployment (most have three, us-east-1 six).',
    ),
  retain: z
    .boolean()
    .describe(
      'Data, keys, tables, images and logs outlive the stacks, and the stack that holds them cannot be deleted. `false`: `npm run deploy -- destroy` empties and deletes them.',
    ),
  log_days: Days.describe('Logs are kept for this many days.'),
  noncurrent_days: z.int().min(1).describe('Overwritten or deleted objects can be restored for this many days.'),
  images_kept: z.int().min(2).describe('Images that each of the two repositories keeps, the newest ones.'),
  registry: z
    .enum(['r2', 's3'])
    .describe(
      'Where models are published. `r2`: the R2 bucket that the Worker reads, named by the parameters `RegistryAccountId` and `RegistryBucket`. `s3`: the models bucket, which no Worker reads.',
    ),
  gpu: z
    .strictObject({
      families: z
        .array(z.enum(GPU_FAMILIES))
        .min(1)
        .describe(
          "Kinds of machines with one GPU: `g6e` has an L40S (48 GB), `g6` an L4 and `g5` an A10G (24 GB). The more, the likelier one is available; one that the region does not have at all is refused by Batch. Also of bulk jobs' machines.",
        ),
      spot_max_vcpus: Vcpus(16).describe(ON_SPOT),
      on_demand_max_vcpus: Vcpus(16).describe(ON_DEMAND),
      root_gib: z.int().min(100).describe("Disk of a machine: the trainer's image and what running jobs keep."),
      idle_minutes: z
        .int()
        .min(20)
        .max(10_080)
        .describe(
          'A machine whose job has ended waits this long for the next one: the stages of a recipe come one after the other, and a new machine first pulls the image. Holds for all machines with GPUs.',
        ),
    })
    .describe('Machines with one GPU, which comes with 4 to 16 vCPUs.'),
  several_gpus: z
    .strictObject({
      spot_max_vcpus: LargeVcpus(48).describe(ON_SPOT),
      on_demand_max_vcpus: LargeVcpus(48).describe(ON_DEMAND),
    })
    .nullable()
    .describe(
      'Machines with four (48 vCPUs) or eight (192) L40S, for job classes that a recipe asks for. `null`: none.',
    ),
  h100: z
    .strictObject({ on_demand_max_vcpus: LargeVcpus(16).describe('The most vCPUs.') })
    .nullable()
    .describe('Machines with one (16 vCPUs) or eight (192) H100, on demand: spot hardly ever has any. `null`: none.'),
  nodes: z
    .strictObject({ on_demand_max_vcpus: LargeVcpus(384).describe('The most vCPUs.') })
    .nullable()
    .describe('Machines with eight H100 (192 vCPUs each) side by side, on demand only. `null`: none.'),
  cpu: z
    .strictObject({
      spot_max_vcpus: Vcpus(4).describe(ON_SPOT),
      on_demand_max_vcpus: Vcpus(4).describe(ON_DEMAND),
    })
    .describe('Fargate, for stages without a GPU.'),
  schedule: z
    .strictObject({
      enabled: z.boolean().describe('Whether recipes are trained again on their own.'),
      cron: z
        .string()
        .regex(/^cron\(\S+( \S+){5}\)$/)
        .describe('When: six fields, as EventBridge Scheduler reads them.'),
      timezone: z.string().min(1).describe('Of the six fields, such as `Europe/Berlin`.'),
      flexible_minutes: z.int().min(1).max(1440).describe('A start may be delayed by up to this many minutes.'),
      recipes: z
        .array(RecipeName)
        .describe('Recipes whose last request is run again; the pipeline ends at once where nothing has changed.'),
    })
    .describe('Training on a schedule.'),
  budget: z
    .strictObject({
      monthly_usd: z
        .int()
        .min(1)
        .describe(
          'Dollars a month, of everything that carries the tags of this environment: told at 80 % and when 100 % are forecast; at 100 %, and for who resumes again at 150, 200 and 300 %, the switch stops training. AWS counts with a delay of up to a day.',
        ),
    })
    .describe('What may be spent before somebody is told, and before training is stopped.'),
  bulk: z
    .strictObject({
      cpu: z
        .strictObject({
          spot_max_vcpus: Vcpus(4).describe(ON_SPOT),
          on_demand_max_vcpus: Vcpus(4).describe(ON_DEMAND),
        })
        .describe('Fargate on arm64, 4 vCPUs a shard; none runs while no job is queued.'),
      gpu: z
        .strictObject({
          spot_max_vcpus: Vcpus(4).describe(ON_SPOT),
          on_demand_max_vcpus: Vcpus(4).describe(ON_DEMAND),
        })
        .nullable()
        .describe(
          'Machines with one GPU and 4 vCPUs, a shard each, for jobs that ask for them or cost less on them; none runs while no job is queued. `null`: none.',
        ),
      upload_days: z.int().min(1).max(90).describe('What was sent to be embedded is deleted after this many days.'),
      output_days: z.int().min(1).max(365).describe('Jobs and what came of them are deleted after this many days.'),
    })
    .describe('Bulk jobs of the image encoder.'),
  worker_issuer: z
    .string()
    .regex(/^[a-z0-9-]+(\.[a-z0-9-]+)+$/)
    .nullable()
    .describe(
      'Host that the Worker answers at, such as `clip.example.com`: AWS trusts the tokens that it signs, and no key of AWS is given to it. `null`: it signs with a key.',
    ),
  encoder: z
    .strictObject({
      reserved_concurrency: z
        .int()
        .min(1)
        .describe(
          'Calls at a time, also the limit: one beyond it is refused, and no more than this is ever paid for. An account too new to reserve any is deployed with the parameter `EncoderReservation=account`.',
        ),
      model_name: z
        .string()
        .nullable()
        .describe('Model whose pointer is followed; `null`: that of the embedded model.'),
      gpu: GpuEncoder.nullable().describe(
        'A second image encoder, on machines with a GPU that Lambda looks after: requests with many images go there. `null`: none, which costs less below the images a month that a dry run of the deployment prints.',
      ),
    })
    .describe('The image encoder.'),
});

/**
 * A machine with several network interfaces gets no public address, and neither do containers of multi-node jobs and machines that Lambda looks
 * after.
 */
export const Settings = SettingsFile.extend({ name: z.string() })
  .refine(({ nodes, network }) => nodes === null || network === 'nat', {
    path: ['nodes'],
    message: 'machines side by side have no public addresses: they need network "nat"',
  })
  .refine(({ encoder, network }) => encoder.gpu === null || network === 'nat', {
    path: ['encoder', 'gpu'],
    message: 'machines of the image encoder have no public addresses: they need network "nat"',
  })
  .refine(({ encoder: { gpu } }) => gpu === null || gpu.least_machines <= gpu.most_machines, {
    path: ['encoder', 'gpu', 'least_machines'],
    message: 'more machines are kept than there may be: most_machines says how many',
  });
/** Whether images are encoded on machines with a GPU anywhere, in a function or in bulk jobs: both run the same image. */
export const hasGpuEncoder = ({ encoder, bulk }: Pick<z.infer<typeof SettingsFile>, 'encoder' | 'bulk'>): boolean =>
  encoder.gpu !== null || bulk.gpu !== null;

/** Settings with the name of their environment, that of their file. */
export type Settings = z.infer<typeof Settings>;
