// The steps of a deployment in order, and how they are run: each once for what it is made from, and timed.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { toDigest } from '../../api/registry/digest.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { jsonIn } from '../../contracts/src/json.ts';
import {
  BULK_GPU_OUTPUTS,
  CLOUD_OUTPUTS,
  ENCODER_GPU_URL_OUTPUT,
  WORKER_ROLE_OUTPUT,
} from '../../contracts/src/outputs.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { Settings } from '../base/settings.ts';
import type { Aws } from './aws.ts';
import type { EmitDeploy } from './events.ts';
import { buildImages, pushedImage } from './images/build.ts';
import { checkoutDigest, IMAGES, imagesOf } from './images/source.ts';
import type { DeployOptions } from './options.ts';
import type { RunProgram } from './programs.ts';
import {
  type CdkOptions,
  deployStacks,
  outputsOf,
  readStacks,
  type StackParameters,
  stackName,
  writeOutputs,
} from './stacks.ts';
import { type State, stateFolder, writeState } from './state.ts';
import { deployWorker, type WorkerSecrets } from './worker/deploy.ts';
import { smoke, withKey } from './worker/smoke.ts';

export interface StepContext {
  root: string;
  options: DeployOptions;
  settings: Settings;
  aws: Aws;
  run: RunProgram;
  emit: EmitDeploy;
  secrets: WorkerSecrets;
  stop: AbortSignal;
  state: State;
  /** What earlier steps found. */
  values: Record<string, string>;
  say(sentence: string): void;
}

type Work = (context: StepContext) => Promise<Record<string, string>>;

interface Step {
  name: string;
  what: string;
  /** It is of the Worker: a deployment of AWS alone has none of these. */
  worker?: true;
  work: Work;
  /** What there is of it now; absent: nothing that another deployment could change. */
  left?: (context: StepContext) => Promise<string>;
}

/** By name, what later steps and the next deployment need to know. */
export const STEPS: readonly Step[] = [
  {
    name: 'data',
    what: 'cdk deploys what survives: buckets, key, repositories of images',
    work: deployData,
    left: stacksLeft('data'),
  },
  {
    name: 'images',
    what: 'the images of this source are built, unless they are there',
    work: makeImages,
    left: imagesLeft,
  },
  { name: 'stacks', what: 'cdk deploys every stack', work: deployAll, left: stacksLeft() },
  { name: 'worker', what: 'wrangler deploys the Worker', worker: true, work: deployTheWorker, left: workerLeft },
  { name: 'smoke', what: 'the Worker is asked for its golden vectors', worker: true, work: askTheWorker },
];

export const stepsOf = ({ worker }: DeployOptions): Step[] => STEPS.filter((step) => worker || step.worker !== true);

/** What a step is made from: the same again, and a step that was finished is left alone. */
export function madeFrom(
  root: string,
  { environment, images, parameters }: DeployOptions,
  secrets: WorkerSecrets,
): string {
  const given = JSON.stringify([environment, images, parameters, Object.entries(secrets)]);
  return toDigest(createHash('sha256').update(checkoutDigest(root)).update(given).digest());
}

/**
 * Runs what is missing, in order; the state is written after each step. A step that was finished is done again where what it made has
 * changed since, and so is everything after it: the state is this checkout's, and others deploy, too. Answers whether all of them
 * succeeded: a step that a person can help is told as an event.
 */
export async function runSteps(context: StepContext, from: string): Promise<boolean> {
  const { root, options, emit, state } = context;
  const steps = stepsOf(options);
  let isCurrent = !options.again;
  for (const [at, { name, what, work, left }] of steps.entries()) {
    emit({ event: 'step', step: name, number: at + 1, of: steps.length, what });
    const before = state.steps[name];
    isCurrent &&= before?.from === from && before.left === (await left?.(context));
    if (isCurrent && before !== undefined) {
      emit({ event: 'reused', step: name, finished_at: before.finished_at });
      Object.assign(context.values, before.values);
      continue;
    }
    const started = Date.now();
    const say = (sentence: string): void => emit({ event: 'progress', step: name, sentence });
    const values = await work({ ...context, say }).catch((error: unknown) => {
      if (!(error instanceof UserError)) throw error;
      emit({ event: 'failed', step: name, message: error.message });
    });
    if (values === undefined) return false;
    const seconds = (Date.now() - started) / 1000;
    Object.assign(context.values, values);
    state.steps[name] = { from, finished_at: new Date().toISOString(), seconds, values, left: await left?.(context) };
    writeState(root, state);
    emit({ event: 'done', step: name, seconds, values });
  }
  return true;
}

export const cdkOf = ({ root, options, run }: Pick<StepContext, 'root' | 'options' | 'run'>): CdkOptions => ({
  environment: options.environment,
  run,
  output: join(stateFolder(root, options.environment), 'cdk.out'),
});

/** When each stack was last changed, by anybody. */
function stacksLeft(only?: 'data') {
  return async ({ options: { environment }, aws }: StepContext): Promise<string> => {
    const stacks = await readStacks(environment, aws);
    const meant = stacks.filter(({ name }) => only === undefined || name === stackName(environment, only));
    return meant.map(({ name, status, updated_at }) => `${name} ${status} ${updated_at}`).join(', ');
  };
}

/** A repository keeps the newest images alone. */
async function imagesLeft({ root, settings, aws, values }: StepContext): Promise<string> {
  const digests = imagesOf(settings).map((image) => pushedImage(image, { root, aws, outputs: values }));
  return (await Promise.all(digests)).map(({ digest }) => digest).join(', ');
}

/** The versions that answer; nothing where nobody can say. */
async function workerLeft({ options, run }: StepContext): Promise<string> {
  const printed = await run('wrangler', ['deployments', 'status', '--env', options.environment, '--json']).catch(
    (error: unknown) => {
      if (error instanceof UserError) return '';
      throw error;
    },
  );
  const found = DeploymentStatus.safeParse(jsonIn(printed));
  return (found.data?.versions ?? []).map(({ version_id }) => version_id).join(', ');
}

/** What wrangler says of a deployment. */
const DeploymentStatus = z.object({ versions: z.array(z.object({ version_id: z.string() })) });

async function deployData(context: StepContext): Promise<Record<string, string>> {
  await deployStacks(cdkOf(context), context.options.parameters, 'data');
  const outputs = outputsOf(await readStacks(context.options.environment, context.aws));
  const wanted = [
    CLOUD_OUTPUTS.trainingBucket,
    CLOUD_OUTPUTS.trainerImages,
    CLOUD_OUTPUTS.encoderImages,
    CLOUD_OUTPUTS.imageBuilds,
  ];
  return Object.fromEntries(wanted.flatMap((name) => (outputs[name] === undefined ? [] : [[name, outputs[name]]])));
}

async function makeImages({
  root,
  options,
  settings,
  aws,
  run,
  values,
  say,
  stop,
}: StepContext): Promise<Record<string, string>> {
  const store = openStore(`s3://${values[CLOUD_OUTPUTS.trainingBucket]}`);
  const images = imagesOf(settings);
  const digests = await buildImages({ images, root, aws, run, outputs: values, store, how: options.images, say, stop });
  return Object.fromEntries(images.map((image) => [IMAGES[image].parameter, digests[image] ?? '']));
}

async function deployAll(context: StepContext): Promise<Record<string, string>> {
  const { root, options, settings, aws, values } = context;
  const digests: StackParameters = Object.fromEntries(
    imagesOf(settings).map((image) => {
      const { parameter } = IMAGES[image];
      return [parameter, values[parameter] ?? ''];
    }),
  );
  await deployStacks(cdkOf(context), { ...options.parameters, ...digests });
  const stacks = await readStacks(options.environment, aws);
  writeOutputs(root, options.environment, stacks);
  const outputs = outputsOf(stacks);
  const { encoderUrl, jobsBucket, bulkQueue, bulkDefinition, workerAccess } = CLOUD_OUTPUTS;
  const own = [ENCODER_GPU_URL_OUTPUT, WORKER_ROLE_OUTPUT, BULK_GPU_OUTPUTS.queue, BULK_GPU_OUTPUTS.definition];
  const wanted = [encoderUrl, jobsBucket, bulkQueue, bulkDefinition, workerAccess, ...own];
  return Object.fromEntries(wanted.map((name) => [name, outputs[name] ?? '']));
}

async function deployTheWorker(context: StepContext): Promise<Record<string, string>> {
  const { options, settings, run, secrets, values, say } = context;
  const [encoder, gpuEncoder] = [CLOUD_OUTPUTS.encoderUrl, ENCODER_GPU_URL_OUTPUT].map(
    (name) => values[name]?.replace(/\/$/, '') ?? '',
  );
  const role = values[WORKER_ROLE_OUTPUT] ?? '';
  const { worker_issuer: issuer } = settings;
  if (role !== '')
    say(`the Worker signs with its own identity: its secret WORKER_IDENTITY is set once by hand (infra/README.md)`);
  else if (Object.keys(secrets).length === 0)
    say(
      `no keys were given, so that calls to the encoder are not signed, unless the Worker has secrets from before (--help)`,
    );
  const { [CLOUD_OUTPUTS.jobsBucket]: bucket = '', [CLOUD_OUTPUTS.bulkQueue]: queue = '' } = values;
  const { [CLOUD_OUTPUTS.bulkDefinition]: definition = '' } = values;
  const { [BULK_GPU_OUTPUTS.queue]: gpuQueue = '', [BULK_GPU_OUTPUTS.definition]: gpuDefinition = '' } = values;
  const variables = {
    ...(encoder ? { [ENVARS.encoderUrl]: encoder } : {}),
    ...(gpuEncoder ? { [ENVARS.encoderGpuUrl]: gpuEncoder } : {}),
    ...(bucket === '' ? {} : { [ENVARS.uploads]: `s3://${bucket}` }),
    ...(bucket === '' || queue === '' || definition === ''
      ? {}
      : { [ENVARS.jobsStore]: `s3://${bucket}`, [ENVARS.jobsQueue]: queue, [ENVARS.jobsDefinition]: definition }),
    ...(gpuQueue === '' ? {} : { [ENVARS.jobsGpuQueue]: gpuQueue, [ENVARS.jobsGpuDefinition]: gpuDefinition }),
    ...(role === '' ? {} : { [ENVARS.workerRole]: role, [ENVARS.workerIssuer]: `https://${issuer}` }),
  };
  const { name, version, url } = await deployWorker({ environment: options.environment, run, variables, secrets });
  return { worker: name, version, url };
}

async function askTheWorker({ root, run, emit, values, stop }: StepContext): Promise<Record<string, string>> {
  const { url = '', worker = '' } = values;
  const report = await withKey(worker, run, (key) => smoke({ url, root, key, stop }));
  emit({ event: 'smoke', url, ...report });
  return { model: report.model, model_version: report.version };
}
