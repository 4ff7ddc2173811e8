// Parameters of the stacks: what a deployment says that no source holds. infra declares them, whoever deploys gives them.

export interface StackParameter {
  /** The stack that takes it, by the last part of its name. */
  stack: 'data' | 'training' | 'encoding' | 'operations';
  description: string;
  /** Regular expression of the whole value. */
  pattern: string;
  /** What a value is, for whoever gave another one. */
  constraint: string;
  /** Where none is given, `ENVIRONMENT` being its name; absent: a first deployment has to give one, later ones keep it. */
  default?: string;
  /** The settings that ask for it; absent: every deployment takes it. */
  only?: { registry: 'r2' };
}

const DIGEST = {
  pattern: '^[0-9a-f]{64}$',
  constraint: 'The 64 hexadecimal digits of the digest of a pushed image, without "sha256:"',
} as const;

export const STACK_PARAMETERS = {
  TrainerImageDigest: { stack: 'training', description: 'Digest of the image to run, without "sha256:"', ...DIGEST },
  EncoderImageDigest: { stack: 'encoding', description: 'Digest of the image to run, without "sha256:"', ...DIGEST },
  RegistryAccountId: {
    stack: 'data',
    description: 'Cloudflare account of the R2 bucket that models are published to',
    pattern: '^[0-9a-f]{32}$',
    constraint: 'The 32 hexadecimal digits of a Cloudflare account id',
    only: { registry: 'r2' },
  },
  RegistryBucket: {
    stack: 'data',
    description: 'The R2 bucket that models are published to: the one that wrangler.toml binds to the Worker as MODELS',
    pattern: '^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$',
    constraint: 'Name of an R2 bucket: 3 to 63 lower-case letters, digits and hyphens',
    default: 'edge-clip-ENVIRONMENT-models',
    only: { registry: 'r2' },
  },
  EncoderReservation: {
    stack: 'encoding',
    description:
      '"setting": the encoder gets the calls at a time that its setting reserves. "account": none is reserved, only for an account so new that AWS refuses that; its limit of 10 calls is the bound then',
    pattern: '^(setting|account)$',
    constraint: '"setting" or "account"',
    default: 'setting',
  },
  NotifyEmail: {
    stack: 'operations',
    description:
      'Address that alarms, budgets and the outcomes of trainings are sent to; it confirms the subscription once. Empty: nobody is told',
    pattern: '^$|^[^@ ]+@[^@ ]+$',
    constraint: 'An e-mail address, or nothing',
    default: '',
  },
} as const satisfies Record<string, StackParameter>;
export type StackParameterName = keyof typeof STACK_PARAMETERS;
