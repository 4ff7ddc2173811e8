// The surroundings of a deployment in a test: an account that is ready for it, a small checkout, and cdk, wrangler and docker as they would answer.
import { appendFileSync, cpSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { ProgramName, RunProgram } from '../../infra/deploy/programs.ts';
import { type AwsAccount, pushImage } from './aws-account.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** What decides about images and steps of a deployment, but for the sources of the images. */
const CHECKOUT = [
  '.dockerignore',
  'package.json',
  'package-lock.json',
  'wrangler.toml',
  'cdk.json',
  'trainer/Dockerfile',
  'api/encoder/Dockerfile',
  'api/encoder/gpu.Dockerfile',
  'api/model/manifest.json',
];

export function writeCheckout(root: string): void {
  for (const file of CHECKOUT) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    cpSync(join(ROOT, file), join(root, file));
  }
}

/** Bootstrapped, with quotas and zones for the machines of the settings, and with nothing in it. */
export function prepareAccount(account: AwsAccount): void {
  account.stacks.clear();
  account.stacks.set('CDKToolkit', { BootstrapVersion: '29' });
  account.parameters.clear();
  account.statuses.clear();
  account.updated.clear();
  account.images.clear();
  account.builds.length = 0;
  account.versions.clear();
  account.kept.clear();
  account.denied.clear();
  account.buildStatus = 'SUCCEEDED';
  account.buildsRefused = 0;
  account.quotas.clear();
  for (const code of ['L-3819A6DF', 'L-DB2E81BA', 'L-36FBB829', 'L-3032A538']) account.quotas.set(code, 64);
  account.quotas.set('L-B99A9384', 1000);
  account.regionZones = ['us-east-1a', 'us-east-1b', 'us-east-1c'];
  for (const family of ['g6e', 'g6', 'g5'])
    for (const size of ['xlarge', '2xlarge', '4xlarge'])
      account.zones.set(`${family}.${size}`, ['us-east-1a', 'us-east-1c']);
}

type Outputs = Record<string, string>;
type Eventually<T> = T | Promise<T>;

/** What deploying brings about, in environment dev. */
export interface World {
  account: AwsAccount;
  /** Outputs of the stack that holds what survives, once it is deployed. */
  data(): Eventually<Outputs>;
  /** Outputs of two of the others. */
  rest(): Eventually<{ training: Outputs; encoding: Outputs }>;
  /** Where the Worker answers, once it is deployed with these variables. */
  worker(variables: Outputs): Eventually<string>;
  /** The key that `npm run keys` would make; the Worker knows it. */
  key(): string;
  /** Accounts at Cloudflare of whoever is logged in. */
  cloudflare(): { id: string; name: string }[];
}

/** The programs of a deployment: what they change in the account, and what they print. */
export function programsIn(world: World): RunProgram {
  const { account } = world;
  return async (name: ProgramName, args, { env = {} } = {}) => {
    const [first = ''] = args;
    if (name === 'cdk' && first === 'deploy') {
      for (const [at, word] of args.entries()) {
        const [, stack = '', parameter = '', value = ''] = /^(.*?):(.*?)=(.*)$/.exec(word) ?? [];
        if (args[at - 1] === '--parameters')
          account.parameters.set(stack, { ...account.parameters.get(stack), [parameter]: value });
      }
      account.stacks.set('edge-clip-dev-data', await world.data());
      if (args.includes('--all'))
        for (const [part, outputs] of Object.entries(await world.rest()))
          account.stacks.set(`edge-clip-dev-${part}`, outputs);
    }
    if (name === 'cdk' && first === 'destroy') account.stacks.clear();
    if (name === 'docker' && first === 'buildx' && args.includes('-t'))
      pushImage(account, args[args.indexOf('-t') + 1] ?? '');
    if (name === 'wrangler' && first === 'whoami')
      return JSON.stringify({ loggedIn: true, accounts: world.cloudflare() });
    if (name === 'wrangler' && first === 'kv') return '[{"id":"f00","title":"edge-clip-dev-keys"}]';
    if (name === 'wrangler' && first === 'deploy') {
      if (args.includes('--dry-run')) return 'Total Upload: 41799.64 KiB / gzip: 26800.10 KiB';
      const targets = [await world.worker(variablesIn(args))];
      const deployed = { type: 'deploy', worker_name: 'edge-clip-dev', version_id: 'v1', targets };
      appendFileSync(env.WRANGLER_OUTPUT_FILE_PATH ?? '', `${JSON.stringify(deployed)}\n`);
    }
    if (name === 'node' && args.includes('create')) return JSON.stringify({ key: world.key(), prefix: 'ec_check' });
    return '';
  };
}

/** What `--var NAME:VALUE` gives the Worker. */
function variablesIn(args: readonly string[]): Outputs {
  const given = args.flatMap((word, at) => (args[at - 1] === '--var' ? [/^(\w+):(.*)$/.exec(word)] : []));
  return Object.fromEntries(given.map((match) => [match?.[1] ?? '', match?.[2] ?? '']));
}
