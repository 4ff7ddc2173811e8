// Schema of an environment's settings. Nothing has a default: every environment states every setting.
import { z } from 'zod';
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

/** Whether a machine has more than 16 vCPUs: they are four times the number before `xlarge`. */
export const isLarge = (type: string): boolean => Number(/\.(\d+)xlarge$/.exec(type)?.[1] ?? 1) * 4 > 16;

/** CloudWatch accepts only certain retention periods; these are the ones that make sense here. */
const Days = z.union([z.literal(14), z.literal(30), z.literal(90), z.literal(365)]);

const Environment = z.strictObject({
  name: z.enum(['dev', 'prod']),
  /** `nat`: machines in private subnets behind one NAT gateway. `public`: public addresses, no ingress, no gateway to pay for. */
  network: z.enum(['nat', 'public']),
  /** Data, keys, tables, images and logs outlive the stacks, and the stack that holds them cannot be deleted. */
  retain: z.boolean(),
  /** Logs are kept for this many days. */
  log_days: Days,
  /** Overwritten or deleted objects can be restored for this many days. */
  noncurrent_days: z.int().min(1),
  /** Images that each of the two repositories keeps, the newest ones. */
  images_kept: z.int().min(2),
  /** Where models are published: the models bucket, or an R2 bucket that the Worker reads without leaving Cloudflare. */
  registry: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('s3') }),
    z.strictObject({
      kind: z.literal('r2'),
      account_id: z.string().regex(/^[0-9a-f]{32}$/),
      bucket: z.string().regex(/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/),
    }),
  ]),
  /** Machines with a GPU. One GPU comes with 4 to 16 vCPUs. */
  gpu: z.strictObject({
    spot_max_vcpus: Vcpus(16),
    on_demand_max_vcpus: Vcpus(16),
    /** Disk of a machine: the trainer's image and what running jobs keep. */
    root_gib: z.int().min(100),
  }),
  /**
   * Machines for the job classes that a recipe asks for; null: not deployed. New accounts have a quota of 0 vCPUs for each of
   * these families, and one 12xlarge takes 48 of them.
   * `several_gpus`: four (48 vCPUs) or eight (192) L40S in a machine.
   */
  several_gpus: z.strictObject({ spot_max_vcpus: LargeVcpus(48), on_demand_max_vcpus: LargeVcpus(48) }).nullable(),
  /** One (16 vCPUs) or eight (192) H100 in a machine, on demand: spot hardly ever has any. */
  h100: z.strictObject({ on_demand_max_vcpus: LargeVcpus(16) }).nullable(),
  /** Machines with eight H100 (192 vCPUs each) side by side: multi-node jobs run on demand only. */
  nodes: z.strictObject({ on_demand_max_vcpus: LargeVcpus(384) }).nullable(),
  /** Fargate, for stages without a GPU. */
  cpu: z.strictObject({ spot_max_vcpus: Vcpus(4), on_demand_max_vcpus: Vcpus(4) }),
  schedule: z.strictObject({
    enabled: z.boolean(),
    /** Six fields, as EventBridge Scheduler reads them. */
    cron: z.string().regex(/^cron\(\S+( \S+){5}\)$/),
    timezone: z.string().min(1),
    /** A start may be delayed by up to this many minutes. */
    flexible_minutes: z.int().min(1).max(1440),
    /** Recipes whose last request is run again; the pipeline ends at once where nothing has changed. */
    recipes: z.array(RecipeName),
  }),
  encoder: z.strictObject({
    /** Also the permit: a call beyond it is refused. null where the account's own limit is too low to reserve from. */
    reserved_concurrency: z.int().min(1).nullable(),
    /** Model whose pointer is followed; null: that of the embedded model. */
    model_name: z.string().nullable(),
  }),
});

/** A machine with several network interfaces gets no public address, and neither do containers of multi-node jobs. */
export const Settings = Environment.refine(({ nodes, network }) => nodes === null || network === 'nat', {
  path: ['nodes'],
  message: 'machines side by side have no public addresses: they need network "nat"',
});
export type Settings = z.infer<typeof Settings>;
