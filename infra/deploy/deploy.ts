// The command `npm run deploy`: an environment from this checkout to an answering Worker, its status, and its end.
import { join, resolve } from 'node:path';
import { answerCommand, runMain } from '../../contracts/command/command-line.ts';
import { PRICE_TABLE } from '../../contracts/src/cloud/prices.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { Settings } from '../base/settings.ts';
import { settingsOf } from '../environments.ts';
import { encoderBreakEven } from '../serving/break-even.ts';
import { type Aws, openAws } from './aws.ts';
import { deployConsole, type EmitDeploy } from './events.ts';
import { imagesOf, sourceOf } from './images/source.ts';
import { DEPLOY_HELP, type DeployOptions, parseDeployOptions } from './options.ts';
import { preflight } from './preflight.ts';
import { programsOf, type RunProgram } from './programs.ts';
import { destroyStacks, outputsFile, readStacks, synthesise } from './stacks.ts';
import { readState, removeState, type State, stateFolder } from './state.ts';
import { cdkOf, madeFrom, runSteps, stepsOf } from './steps.ts';
import { deleteWorker, secretsIn, sizeOfWorker, WORKER_LIMIT_KIB } from './worker/deploy.ts';
import { smoke } from './worker/smoke.ts';

export interface DeployContext {
  /** The repository. */
  root: string;
  env: NodeJS.ProcessEnv;
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
  stop: AbortSignal;
  /** Instead of the programs themselves: for tests. */
  programs?: RunProgram;
}

interface Session {
  root: string;
  env: NodeJS.ProcessEnv;
  options: DeployOptions;
  settings: Settings;
  aws: Aws;
  run: RunProgram;
  emit: EmitDeploy;
  stop: AbortSignal;
}

/** The whole command; resolves to its exit code. */
export async function deploy(argv: readonly string[], context: DeployContext): Promise<number> {
  const { root, env, stdout, stop } = context;
  return answerCommand(argv, { help: DEPLOY_HELP, ...context }, async () => {
    const said = parseDeployOptions(argv);
    const settings = settingsIn(said);
    const options = withAccount(said, settings, env);
    const emit = deployConsole((text) => void stdout.write(text), options);
    const log = join(stateFolder(root, options.environment), 'programs.log');
    const run = context.programs ?? programsOf({ root, env, log, onLine: () => {}, stop });
    const session = { root, env, options, settings, aws: openAws(), run, emit, stop };
    if (options.command === 'status') await status(session);
    else if (options.command === 'destroy') await destroy(session);
    else if (options.dryRun) await dryRun(session);
    else if (!(await deployEnvironment(session))) return stop.aborted ? EXIT.interrupted : EXIT.failed;
    return EXIT.ok;
  });
}

/** Cloudflare's own variable names the account of the registry, unless a parameter does. */
function withAccount(options: DeployOptions, { registry }: Settings, env: NodeJS.ProcessEnv): DeployOptions {
  const account = env.CLOUDFLARE_ACCOUNT_ID ?? '';
  if (registry !== 'r2' || account === '') return options;
  return { ...options, parameters: { RegistryAccountId: account, ...options.parameters } };
}

function settingsIn({ environment }: DeployOptions): Settings {
  try {
    return settingsOf(environment);
  } catch (error) {
    throw error instanceof RangeError ? new UserError(error.message) : error;
  }
}

async function deployEnvironment(session: Session): Promise<boolean> {
  const { root, env, options, aws, emit } = session;
  const started = Date.now();
  await check(session);
  const secrets = secretsIn(env);
  const state = await stateOf(session, aws);
  const values: Record<string, string> = {};
  const context = { ...session, secrets, state, values, say: () => {} };
  if (!(await runSteps(context, madeFrom(root, options, secrets)))) return false;
  emit({
    event: 'deployed',
    environment: options.environment,
    url: values.url ?? null,
    outputs: outputsFile(options.environment),
    seconds: (Date.now() - started) / 1000,
  });
  return true;
}

/** Throws a UserError where a check found a problem. */
async function check({ settings, aws, run, env, options, emit }: Session): Promise<void> {
  const cloudflareAccount = env.CLOUDFLARE_ACCOUNT_ID || undefined;
  const checks = await preflight({ settings, aws, run, ...options, cloudflareAccount });
  for (const found of checks) emit({ event: 'check', ...found });
  const problems = checks.filter(({ verdict }) => verdict === 'problem');
  if (problems.length > 0) throw new UserError(problems.map(({ name, sentence }) => `${name}: ${sentence}`).join('\n'));
}

/** What this checkout has done in this account and region. Throws a UserError where it has deployed to another one. */
async function stateOf({ root, options: { environment } }: Session, aws: Aws): Promise<State> {
  const { account } = await aws.identity();
  const region = await aws.region();
  const before = readState(root, environment) ?? { environment, account, region, steps: {} };
  if (before.account === account && before.region === region) return before;
  throw new UserError(
    `${environment} was deployed to account ${before.account} in ${before.region}, and these credentials are of ${account} in ${region}: ` +
      `use those, or delete ${stateFolder(root, environment)} to deploy another one`,
  );
}

/** Everything that can be known without changing anything. */
async function dryRun(session: Session): Promise<void> {
  const { root, env, options, settings, run, emit } = session;
  try {
    await check(session);
  } catch (error) {
    // Without an account the rest can be tried all the same.
    if (!(error instanceof UserError)) throw error;
    emit({ event: 'unchecked', reason: error.message });
  }
  for (const image of imagesOf(settings)) {
    const { digest, files } = sourceOf(image, root);
    emit({ event: 'source', image, digest, files: files.length });
  }
  const { date, region } = PRICE_TABLE;
  emit({ event: 'break_even', ...encoderBreakEven(settings), date, region });
  await synthesise(cdkOf(session));
  if (options.worker) {
    const folder = join(stateFolder(root, options.environment), 'worker');
    emit({ event: 'size', limit_kib: WORKER_LIMIT_KIB, ...(await sizeOfWorker(options.environment, run, { folder })) });
  }
  const from = madeFrom(root, options, secretsIn(env));
  const done = readState(root, options.environment)?.steps ?? {};
  for (const { name, what } of stepsOf(options)) {
    const before = done[name];
    emit({ event: 'planned', step: name, what, finished_at: before?.from === from ? before.finished_at : null });
  }
}

async function status(session: Session): Promise<void> {
  const { root, options, aws, emit, stop } = session;
  const stacks = await readStacks(options.environment, aws);
  for (const stack of stacks) emit({ event: 'stack', ...stack });
  const state = readState(root, options.environment);
  for (const { name, what } of stepsOf(options))
    emit({ event: 'planned', step: name, what, finished_at: state?.steps[name]?.finished_at ?? null });
  const url = state?.steps.worker?.values.url;
  if (url !== undefined && options.worker)
    emit({ event: 'smoke', url, ...(await smoke({ url, root, key: undefined, stop, patienceMs: 0 })) });
  if (stacks.length === 0)
    throw new UserError(`nothing of ${options.environment} is deployed in this account and region`);
}

async function destroy(session: Session): Promise<void> {
  const { root, options, settings, aws, run, emit } = session;
  const { environment } = options;
  const started = Date.now();
  if (settings.retain)
    throw new UserError(
      `the settings of ${environment} keep its data ("retain"): its stacks cannot be deleted. Stop what costs instead (infra/README.md)`,
    );
  // Before anything is deleted: an environment of that name may be somebody else's in another account.
  await stateOf(session, aws);
  if (options.worker) await deleteWorker(environment, run);
  await emptyBuckets(session);
  await destroyStacks(cdkOf(session)).catch(async (error: unknown) => {
    // S3 writes access logs hours later, also those of the deletions before, and a bucket that holds something is not deleted.
    if (!(error instanceof UserError) || (await emptyBuckets(session)) === 0) throw error;
    await destroyStacks(cdkOf(session));
  });
  removeState(root, environment);
  emit({ event: 'destroyed', environment, seconds: (Date.now() - started) / 1000 });
}

/** How many versions there were. The bucket of access logs last: what is deleted from the others is written there. */
async function emptyBuckets({ options: { environment }, aws, emit, stop }: Session): Promise<number> {
  let all = 0;
  const stacks = await readStacks(environment, aws);
  const buckets = (await Promise.all(stacks.map(({ name }) => aws.buckets(name)))).flat();
  for (const bucket of buckets.toSorted((a, b) => Number(isLogs(a)) - Number(isLogs(b)))) {
    let [versions, page] = [0, 0];
    do {
      stop.throwIfAborted();
      // What was listed is deleted, or this has ended: the next page is always the first one.
      page = await aws.deleteVersions(bucket);
      versions += page;
      if (page > 0) emit({ event: 'progress', step: 'buckets', sentence: `${bucket}: ${versions} versions deleted` });
    } while (page > 0);
    all += versions;
    emit({ event: 'emptied', bucket, versions });
  }
  return all;
}

const isLogs = (bucket: string): boolean => bucket.includes('accesslogs');

if (import.meta.main) {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => stop.abort());
  const root = resolve(import.meta.dirname, '../..');
  const { env, stdout, stderr } = process;
  await runMain(() => deploy(process.argv.slice(2), { root, env, stdout, stderr, stop: stop.signal }));
}
