// Looks before anything is deployed: who and where, what the account allows, which zones have the machines, who is logged in.
import { z } from 'zod';
import { statusOf } from '../../api/registry/stores/aws-errors.ts';
import { QUEUES } from '../../contracts/src/job-classes.ts';
import { STACK_PARAMETERS, type StackParameterName } from '../../contracts/src/outputs.ts';
import { reasonOf, UserError } from '../../contracts/src/user-error.ts';
import type { Settings } from '../base/settings.ts';
import { bulkMachinesOf, type Machines, machinesOf } from '../fleets/machine-kinds.ts';
import { gpuMachines } from '../serving/gpu-machines.ts';
import type { Aws } from './aws.ts';
import type { RunProgram } from './programs.ts';
import { type StackParameters, stackName } from './stacks.ts';

export interface Check extends Finding {
  name: string;
}

/** What a check found. */
interface Finding {
  /** `problem`: the deployment would fail. `warning`: it succeeds, and something that it has cannot be used yet. */
  verdict: 'ok' | 'warning' | 'problem';
  /** What was found and, where it is not ok, what to do. */
  sentence: string;
}

/** What `cdk deploy` of this version asks of the bootstrap stack. */
const BOOTSTRAP_STACK = 'CDKToolkit';
const BOOTSTRAP_VERSION = 6;
/** Calls at a time that AWS keeps for functions without a reservation: 100, and in accounts with a small quota 10. */
const UNRESERVED = { usual: 100, young: 10 } as const;

/** Codes of Service Quotas; each counts vCPUs, of machines in use. */
const QUOTAS = {
  'spot G and VT': { service: 'ec2', code: 'L-3819A6DF' },
  'on-demand G and VT': { service: 'ec2', code: 'L-DB2E81BA' },
  'on-demand P': { service: 'ec2', code: 'L-417A185B' },
  'spot Fargate': { service: 'fargate', code: 'L-36FBB829' },
  'on-demand Fargate': { service: 'fargate', code: 'L-3032A538' },
} as const;
type QuotaName = keyof typeof QUOTAS;
const CONCURRENCY = { service: 'lambda', code: 'L-B99A9384' } as const;

export interface PreflightOptions {
  settings: Settings;
  aws: Aws;
  run: RunProgram;
  images: 'codebuild' | 'buildx';
  /** Whether the Worker is deployed, too. */
  worker: boolean;
  /** What is given to the stacks. */
  parameters: StackParameters;
  /** The account at Cloudflare that is asked for; undefined: the only one. */
  cloudflareAccount: string | undefined;
}

/** What wrangler says of who is logged in. */
const WhoAmI = z.object({ accounts: z.array(z.object({ id: z.string(), name: z.string() })) });

/** Every check, also after one that found a problem or may not ask: a person fixes them all at once. */
export async function preflight(options: PreflightOptions): Promise<Check[]> {
  const { settings, aws, run, images, worker, cloudflareAccount } = options;
  const region = await aws.region();
  const { account, arn } = await aws.identity();
  const zones = aws.zones().then((names) => names.toSorted());
  const checks: Record<string, Promise<Finding>> = {
    bootstrap: checkBootstrap(aws, `aws://${account}/${region}`),
    ...namedAs('quota', quotasOf(settings), ([name, vcpus]) => checkQuota(aws, name, vcpus)),
    'quota: Lambda': checkConcurrency(options),
    ...(settings.registry === 'r2' ? { registry: checkRegistry(options) } : {}),
    zones: checkZones(settings, zones),
    ...namedAs('machines', machineGroups(settings), (group) => checkMachines(options, zones, group)),
    ...(worker ? { wrangler: checkWrangler(run, cloudflareAccount) } : {}),
    ...(images === 'buildx' ? { docker: checkDocker(run) } : {}),
  };
  const who: Check = { name: 'identity', verdict: 'ok', sentence: `account ${account}, ${region}, as ${arn}` };
  const found = Object.entries(checks).map(async ([name, finding]) => ({ name, ...(await known(finding)) }));
  return [who, ...(await Promise.all(found))];
}

function namedAs<T extends [string, unknown]>(kind: string, rows: readonly T[], check: (row: T) => Promise<Finding>) {
  return Object.fromEntries(rows.map((row) => [`${kind}: ${row[0]}`, check(row)]));
}

/** A question that is refused says nothing of the others, nor that the deployment would fail: another role deploys. */
async function known(finding: Promise<Finding>): Promise<Finding> {
  try {
    return await finding;
  } catch (error) {
    if (!(error instanceof UserError) && statusOf(error) === undefined) throw error;
    return { verdict: 'warning', sentence: `not checked: ${reasonOf(error)}` };
  }
}

async function checkBootstrap(aws: Aws, where: string): Promise<Finding> {
  const stack = await aws.stack(BOOTSTRAP_STACK);
  const version = Number(stack?.outputs.BootstrapVersion ?? 0);
  if (version >= BOOTSTRAP_VERSION) return { verdict: 'ok', sentence: `${where} is bootstrapped, version ${version}` };
  const found = stack === undefined ? 'is not bootstrapped' : `is bootstrapped with version ${version}, too old`;
  return { verdict: 'problem', sentence: `${where} ${found}: npx cdk bootstrap ${where}` };
}

/** By quota, the vCPUs that the settings' fleets may use together. */
export function quotasOf(settings: Settings): [QuotaName, number][] {
  const wanted = new Map<QuotaName, number>([
    ['spot Fargate', settings.cpu.spot_max_vcpus + settings.bulk.cpu.spot_max_vcpus],
    ['on-demand Fargate', settings.cpu.on_demand_max_vcpus + settings.bulk.cpu.on_demand_max_vcpus],
  ]);
  const add = (name: QuotaName, vcpus: number): void => void wanted.set(name, (wanted.get(name) ?? 0) + vcpus);
  for (const [, { types, spotMaxVcpus = 0, onDemandMaxVcpus }] of machineGroups(settings)) {
    const isP = types.every(({ type }) => type.startsWith('p'));
    if (spotMaxVcpus > 0) add('spot G and VT', spotMaxVcpus);
    add(isP ? 'on-demand P' : 'on-demand G and VT', onDemandMaxVcpus);
  }
  return [...wanted];
}

type MachineGroup = Pick<Machines, 'types' | 'spotMaxVcpus' | 'onDemandMaxVcpus' | 'efaInterfaces'>;

/** What asks for machines that `gpu.families` does not choose, by the queue or function that they work for. */
const ASKED_BY: Readonly<Record<string, string>> = {
  gpus: 'several_gpus',
  h100: 'h100',
  nodes: 'nodes',
  'image encoder': 'encoder.gpu',
};

/** By the queue that they work for, or the function. */
function machineGroups(settings: Settings): [string, MachineGroup][] {
  const ofQueues = QUEUES.flatMap((queue): [string, MachineGroup][] => {
    const machines = queue === 'cpu' ? undefined : machinesOf(queue, settings);
    return machines === undefined ? [] : [[queue, machines]];
  });
  const { gpu } = settings.encoder;
  const others: [string, MachineGroup | undefined][] = [
    ['image encoder', gpu === null ? undefined : gpuMachines(gpu)],
    ['bulk jobs', bulkMachinesOf(settings)],
  ];
  return [
    ...ofQueues,
    ...others.flatMap(([name, machines]): [string, MachineGroup][] => (machines ? [[name, machines]] : [])),
  ];
}

async function checkQuota(aws: Aws, quota: QuotaName, vcpus: number): Promise<Finding> {
  const { service, code } = QUOTAS[quota];
  const found = await aws.quota(service, code);
  if (found === undefined) return { verdict: 'warning', sentence: `AWS does not tell quota ${code} of ${service}` };
  if (found >= vcpus) return { verdict: 'ok', sentence: `${found} vCPUs, the settings use at most ${vcpus}` };
  const missing = found === 0 ? 'no machine can start' : `the settings would use ${vcpus}`;
  const ask = `aws service-quotas request-service-quota-increase --service-code ${service} --quota-code ${code} --desired-value ${vcpus}`;
  return { verdict: 'warning', sentence: `${found} vCPUs, ${missing}: ${ask}` };
}

/** What a stack is given: now, or once by an earlier deployment, which it keeps; one that was never finished is made anew. */
async function given(name: StackParameterName, options: PreflightOptions): Promise<string | undefined> {
  const { settings, aws, parameters } = options;
  if (parameters[name] !== undefined) return parameters[name];
  const stack = await aws.stack(stackName(settings.name, STACK_PARAMETERS[name].stack));
  return stack === undefined || /^(ROLLBACK|REVIEW)_/.test(stack.status) ? undefined : stack.parameters[name];
}

async function checkRegistry(options: PreflightOptions): Promise<Finding> {
  const account = await given('RegistryAccountId', options);
  if (account !== undefined) return { verdict: 'ok', sentence: `models go to R2, account ${account}` };
  const sentence =
    'models go to R2, and nothing says to whose: set CLOUDFLARE_ACCOUNT_ID, or add --parameter RegistryAccountId=ID (npx wrangler whoami shows it)';
  return { verdict: 'problem', sentence };
}

async function checkConcurrency(options: PreflightOptions): Promise<Finding> {
  const { settings, aws } = options;
  const { service, code } = CONCURRENCY;
  const found = (await aws.quota(service, code)) ?? UNRESERVED.young;
  const isReserved = (await given('EncoderReservation', options)) !== 'account';
  const reserved = isReserved ? settings.encoder.reserved_concurrency : 0;
  const left = found - reserved;
  const have = `${found} calls at a time, of which the encoder reserves ${reserved}`;
  if (reserved === 0 || left >= UNRESERVED.usual) return { verdict: 'ok', sentence: have };
  const ask = `aws service-quotas request-service-quota-increase --service-code ${service} --quota-code ${code} --desired-value 1000`;
  return {
    verdict: left < UNRESERVED.young ? 'problem' : 'warning',
    sentence: `${have}: AWS wants ${UNRESERVED.usual} to stay free (${UNRESERVED.young} in a young account), and refuses otherwise: ${ask}; or reserve none, --parameter EncoderReservation=account`,
  };
}

async function checkZones(settings: Settings, regional: Promise<string[]>): Promise<Finding> {
  const zones = await regional;
  if (zones.length >= settings.zones)
    return { verdict: 'ok', sentence: `${zones.length} in this region, the settings use the first ${settings.zones}` };
  const sentence = `the settings want ${settings.zones}, this region has ${zones.join(' and ')}: lower "zones" in ${fileOf(settings)}`;
  return { verdict: 'problem', sentence };
}

/** Batch makes no environment with a kind of machine that its region does not have, whatever else is in it. */
async function checkMachines(
  { settings, aws }: PreflightOptions,
  regional: Promise<string[]>,
  [queue, machines]: [string, MachineGroup],
): Promise<Finding> {
  const { types, spotMaxVcpus = 0, onDemandMaxVcpus, efaInterfaces } = machines;
  // A fleet is offered no machine that is larger than it may become.
  const kinds = types.filter(({ vcpus }) => vcpus <= Math.max(spotMaxVcpus, onDemandMaxVcpus));
  const zones = await aws.zonesOf(kinds.map(({ type }) => type));
  const none = kinds.flatMap(({ type }) => (zones.get(type)?.length === 0 ? [type] : []));
  if (none.length > 0) {
    const families = [...new Set(none.map((type) => type.split('.')[0] ?? ''))];
    const setting = ASKED_BY[queue];
    const instead =
      setting === undefined ? `leave ${families.join(' and ')} out of "gpu.families"` : `set "${setting}" to null`;
    const sentence = `this region has no ${none.join(', ')}, and the deployment would fail: ${instead} in ${fileOf(settings)}, or choose another region`;
    return { verdict: 'problem', sentence };
  }
  const offering = [...new Set([...zones.values()].flat())].toSorted();
  const have = `${offering.join(', ')} have machines of ${kinds.length} types`;
  // Machines that work together stand in one zone.
  const most = efaInterfaces === undefined ? settings.zones : 1;
  const used = (await regional).slice(0, most);
  if (offering.some((zone) => used.includes(zone))) return { verdict: 'ok', sentence: have };
  const raise = most < settings.zones ? '' : `raise "zones" in ${fileOf(settings)}, or `;
  const sentence = `${have}, and they would stand in ${used.join(', ')}, where none can start: ${raise}choose another region`;
  return { verdict: 'warning', sentence };
}

const fileOf = ({ name }: Settings): string => `infra/settings/${name}.json`;

async function checkWrangler(run: RunProgram, account: string | undefined): Promise<Finding> {
  try {
    const { accounts } = WhoAmI.parse(JSON.parse(await run('wrangler', ['whoami', '--json'])));
    const names = accounts.map((account) => account.name).join(', ');
    // A deployment asks no questions in the middle.
    if (accounts.length < 2 || account !== undefined)
      return { verdict: 'ok', sentence: `logged in at Cloudflare: ${account ?? names}` };
    return { verdict: 'problem', sentence: `there are several accounts (${names}): set CLOUDFLARE_ACCOUNT_ID` };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const sentence = 'nobody is logged in at Cloudflare: npx wrangler login, or set CLOUDFLARE_API_TOKEN';
    return { verdict: 'problem', sentence };
  }
}

async function checkDocker(run: RunProgram): Promise<Finding> {
  try {
    const printed = await run('docker', ['buildx', 'version']);
    return { verdict: 'ok', sentence: printed.split('\n')[0] ?? '' };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const sentence =
      'docker buildx does not answer: start Docker, or leave --images buildx out and let CodeBuild build';
    return { verdict: 'problem', sentence };
  }
}
