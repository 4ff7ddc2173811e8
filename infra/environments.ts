// Settings of the two environments: what may differ between them, and nothing else may.
import { z } from 'zod';
import { RecipeName } from '../contracts/src/names.ts';

/** CloudWatch accepts only certain retention periods; these are the ones that make sense here. */
const Days = z.union([z.literal(14), z.literal(30), z.literal(90), z.literal(365)]);

/** The cost guard: more vCPUs than this in one compute environment take a change of this line. */
export const VCPU_BUDGET = 64;
const Vcpus = (least: number) => z.int().min(least).max(VCPU_BUDGET);

export const Settings = z.strictObject({
  name: z.enum(['dev', 'prod']),
  /** `nat`: machines in private subnets behind one NAT gateway. `public`: public addresses, no ingress, no gateway to pay for. */
  network: z.enum(['nat', 'public']),
  /** Data, keys, tables, images and logs outlive the stacks, and the stack that holds them cannot be deleted. */
  retain: z.boolean(),
  log_days: Days,
  /** Overwritten or deleted objects can be brought back for so many days. */
  noncurrent_days: z.int().min(1),
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
  /** One GPU comes with 4 to 16 vCPUs. */
  gpu: z.strictObject({
    spot_max_vcpus: Vcpus(16),
    on_demand_max_vcpus: Vcpus(16),
    root_gib: z.int().min(100),
  }),
  cpu: z.strictObject({ spot_max_vcpus: Vcpus(4), on_demand_max_vcpus: Vcpus(4) }),
  schedule: z.strictObject({
    enabled: z.boolean(),
    /** Six fields, as EventBridge Scheduler reads them. */
    cron: z.string().regex(/^cron\(\S+( \S+){5}\)$/),
    timezone: z.string().min(1),
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
export type Settings = z.infer<typeof Settings>;

export const ENVIRONMENTS = {
  dev: {
    name: 'dev',
    network: 'public',
    retain: false,
    log_days: 14,
    noncurrent_days: 7,
    images_kept: 5,
    registry: { kind: 's3' },
    gpu: { spot_max_vcpus: 16, on_demand_max_vcpus: 16, root_gib: 200 },
    cpu: { spot_max_vcpus: 8, on_demand_max_vcpus: 8 },
    schedule: {
      enabled: false,
      cron: 'cron(0 2 ? * SUN *)',
      timezone: 'Etc/UTC',
      flexible_minutes: 60,
      recipes: ['smoke'],
    },
    encoder: { reserved_concurrency: null, model_name: null },
  },
  prod: {
    name: 'prod',
    network: 'nat',
    retain: true,
    log_days: 365,
    noncurrent_days: 30,
    images_kept: 20,
    registry: { kind: 's3' },
    gpu: { spot_max_vcpus: 32, on_demand_max_vcpus: 16, root_gib: 200 },
    cpu: { spot_max_vcpus: 16, on_demand_max_vcpus: 8 },
    schedule: {
      enabled: true,
      cron: 'cron(0 2 ? * SUN *)',
      timezone: 'Etc/UTC',
      flexible_minutes: 60,
      recipes: ['embedded'],
    },
    encoder: { reserved_concurrency: 10, model_name: null },
  },
} as const satisfies Record<string, Settings>;

/** The environment named by `-c environment=...`. */
export function settingsOf(name: unknown): Settings {
  const names = Object.keys(ENVIRONMENTS);
  const found = Object.entries(ENVIRONMENTS).find(([key]) => key === name);
  if (found === undefined)
    throw new RangeError(`-c environment=${String(name)}: no such environment; there is ${names.join(' and ')}`);
  return Settings.parse(found[1]);
}
