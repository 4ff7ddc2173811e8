// Deploys the Worker through wrangler, with what the stacks say and its secrets, and says where it listens.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { RunProgram } from '../programs.ts';
import { addressIn } from './address.ts';

/** Secrets that a Worker may be given: what signs its calls to the encoder. */
export const WORKER_SECRETS = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const;
export type WorkerSecrets = Partial<Record<(typeof WORKER_SECRETS)[number], string>>;
/** Where they come from: not from AWS's own variables, which are the operator's. */
export const SECRET_VARIABLES = {
  AWS_ACCESS_KEY_ID: 'WORKER_AWS_ACCESS_KEY_ID',
  AWS_SECRET_ACCESS_KEY: 'WORKER_AWS_SECRET_ACCESS_KEY',
} as const satisfies Record<(typeof WORKER_SECRETS)[number], string>;

export interface WorkerOptions {
  environment: string;
  run: RunProgram;
  /** What the stacks say: where the encoder is, and the bucket of uploads. Without the first images are refused with a reason. */
  variables: Readonly<Record<string, string>>;
  secrets: WorkerSecrets;
}

/** A line of the file that wrangler writes for programs. */
const Deployed = z.object({
  type: z.literal('deploy'),
  worker_name: z.string(),
  version_id: z.string().nullable(),
  targets: z.array(z.string()).default([]),
});

export interface DeployedWorker {
  name: string;
  version: string;
  /** The first address that the Worker listens at. */
  url: string;
}

/** Makes what the configuration binds and is not there yet: the bucket of models, the namespace of keys. */
export async function deployWorker({ environment, run, variables, secrets }: WorkerOptions): Promise<DeployedWorker> {
  const folder = mkdtempSync(join(tmpdir(), 'edge-clip-worker-'));
  try {
    const output = join(folder, 'output.ndjson');
    const said = Object.entries(variables).flatMap(([name, value]) => ['--var', `${name}:${value}`]);
    const args = ['deploy', '--env', environment, ...said, ...secretsFile(secrets, folder)];
    await run('wrangler', args, { env: { WRANGLER_OUTPUT_FILE_PATH: output } });
    const lines = readFileSync(output, 'utf8').trim().split('\n');
    const deployed = lines.flatMap((line) => Deployed.safeParse(JSON.parse(line)).data ?? []).at(-1);
    const [url] = deployed?.targets.flatMap((target) => addressIn(target) ?? []) ?? [];
    if (deployed === undefined || url === undefined)
      throw new UserError(
        'the Worker is deployed and has no address: give it a route in wrangler.toml, or allow workers.dev for the account',
      );
    return { name: deployed.worker_name, version: deployed.version_id ?? '', url };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * What a deployment would send, without sending it: the size that counts is that of the code as it is. `entry`: in place of
 * wrangler.toml's.
 */
export async function sizeOfWorker(
  environment: string,
  run: RunProgram,
  { folder, entry }: { folder: string; entry?: string },
): Promise<WorkerSize> {
  mkdirSync(folder, { recursive: true });
  const main = entry === undefined ? [] : [entry];
  const printed = await run('wrangler', ['deploy', ...main, '--dry-run', '--env', environment, '--outdir', folder]);
  const [, total = '', gzip = ''] = /Total Upload: ([\d.]+) KiB \/ gzip: ([\d.]+) KiB/.exec(printed) ?? [];
  if (total === '') throw new UserError(`wrangler deploy --dry-run printed no size:\n${printed}`);
  return { total_kib: Number(total), gzip_kib: Number(gzip) };
}

export interface WorkerSize {
  total_kib: number;
  gzip_kib: number;
}

/** Of all plans, uncompressed. */
export const WORKER_LIMIT_KIB = 64 * 1024;

/** A Worker that was never deployed, or that is deleted already, is as good as deleted: the same command is run again after a failure. */
export async function deleteWorker(environment: string, run: RunProgram): Promise<void> {
  await run('wrangler', ['delete', '--env', environment, '--force']).catch((error: unknown) => {
    if (!(error instanceof UserError) || !NO_WORKER.test(error.message)) throw error;
  });
}

/** Codes of Cloudflare for a Worker, and a service, that there is not. */
const NO_WORKER = /\[code: (10007|10090)\]/;

/** A file that only this user can read, and for as long as wrangler runs: a command line can be read by everybody. */
function secretsFile(secrets: WorkerSecrets, folder: string): string[] {
  if (Object.keys(secrets).length === 0) return [];
  const file = join(folder, 'secrets.json');
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return ['--secrets-file', file];
}

/** The secrets in the environment. Throws a UserError where only one of the two is there. */
export function secretsIn(env: NodeJS.ProcessEnv): WorkerSecrets {
  const found = WORKER_SECRETS.flatMap((name) => {
    const value = env[SECRET_VARIABLES[name]] ?? '';
    return value === '' ? [] : [[name, value] as const];
  });
  if (found.length !== 0 && found.length !== WORKER_SECRETS.length)
    throw new UserError(`${Object.values(SECRET_VARIABLES).join(' and ')} go together`);
  return Object.fromEntries(found);
}
