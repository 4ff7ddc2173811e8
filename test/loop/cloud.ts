// Both clouds of the loop on this machine: AWS's APIs, an R2 bucket, the Worker and the image encoder, and the checkout that is deployed.
import { join } from 'node:path';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { mirrorKeys } from '../../api/dev/key-mirror.ts';
import { startEncoder } from '../../api/dev/local-encoder.ts';
import type { LocalProcess } from '../../api/dev/local-process.ts';
import { BUCKET, KEYS, type LocalWorker, startWorker } from '../../api/dev/local-worker.ts';
import { startBucket } from '../../api/dev/s3/endpoint.ts';
import { downloadWhole } from '../../api/encoder/model-cache.ts';
import { readManifest } from '../../api/registry/read.ts';
import type { ObjectStore } from '../../api/registry/store.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { openR2Store } from '../../api/registry/stores/r2.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { CLOUD_OUTPUTS } from '../../contracts/src/outputs.ts';
import { deploy as deployCommand } from '../../infra/deploy/deploy.ts';
import type { DeployEvent } from '../../infra/deploy/events.ts';
import { ACCOUNT, startAccount } from '../support/aws-account.ts';
import { functionEnvironment, deploy as makeResources, type Stopped, startAws } from '../support/aws-emulator.ts';
import { prepareAccount, programsIn, writeCheckout } from '../support/deployment.ts';
import { makeKeyFile } from '../support/key-file.ts';
import { type Checkout, STOPPED_STAGE } from './checkout.ts';

const R2_BUCKET = 'edge-clip-dev-models';
/** The R2 key, which the secret holds; a person who rolls back has it, too. */
export const R2_KEYS = { accessKeyId: 'r2-access-key', secretAccessKey: 'r2-secret' };
const SECRET = `arn:aws:secretsmanager:us-east-1:${ACCOUNT}:secret:R2`;
/** Between two polls of the pointer by Worker and encoder: minutes where it is deployed. */
const POLL_MS = 500;
const KEYS_MS = 500;

export interface Cloud {
  checkout: Checkout;
  /** What commands and functions see of the environment, from the deployment on. */
  env: Record<string, string>;
  /** Jobs that were told to stop and went on. */
  stopped: readonly Stopped[];
  /** `npm run deploy -- --environment dev`, with what it tells; the address of the Worker. */
  deploy(onEvent: (event: DeployEvent) => void, stop: AbortSignal): Promise<string>;
  /** The training bucket. */
  training: ObjectStore;
  /** A published model by its manifest's digest: its space, and a folder with its files. */
  published(manifest: string): Promise<{ space: string; folder: string }>;
  close(): Promise<void>;
}

/** Changes this process's environment: the functions of the pipeline run in it and read theirs. `makeCheckout`: what is deployed. */
export async function openCloud(makeCheckout: () => Promise<Checkout>): Promise<Cloud> {
  const endings: (() => unknown)[] = [];
  const close = async () => {
    for (const end of endings.toReversed()) await end();
  };
  try {
    const checkout = await makeCheckout();
    endings.push(checkout.remove);
    return await open(checkout, endings, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function open(checkout: Checkout, endings: (() => unknown)[], close: Cloud['close']): Promise<Cloud> {
  const { root } = checkout;
  writeCheckout(root);
  // Of models of two layers a second thread costs more than it does, beside the load.
  const env = { ...checkout.env, OMP_NUM_THREADS: '1', STOPPED_STAGE };
  const aws = await startAws(join(root, 'trainer'), env);
  endings.push(aws.stop);
  const account = await startAccount();
  endings.push(account.stop);
  prepareAccount(account);
  account.secrets.set(
    SECRET,
    JSON.stringify({ access_key_id: R2_KEYS.accessKeyId, secret_access_key: R2_KEYS.secretAccessKey }),
  );
  let bound: ObjectStore | undefined;
  const r2 = await startBucket({ bucket: R2_BUCKET, keys: { ...R2_KEYS, region: 'auto' }, store: () => bound });
  endings.push(r2.stop);
  const keys = await makeKeyFile();
  endings.push(keys.remove);
  const seen: Record<string, string> = {
    ...account.env,
    AWS_MAX_ATTEMPTS: '3',
    // The account answers a deployment; objects, jobs and logs are the emulator's.
    AWS_ENDPOINT_URL_S3: aws.endpoint,
    AWS_ENDPOINT_URL_BATCH: aws.endpoint,
    AWS_ENDPOINT_URL_CLOUDWATCH_LOGS: aws.endpoint,
    CLOUDFLARE_ACCOUNT_ID: 'c'.repeat(32),
    // What infra sets on functions and image encoder where settings say `registry: r2`.
    [ENVARS.registry]: `s3://${R2_BUCKET}`,
    [ENVARS.registryEndpoint]: r2.url,
    [ENVARS.registrySecret]: SECRET,
  };
  Object.assign(process.env, seen);

  let encoder: LocalProcess | undefined;
  let worker: LocalWorker | undefined;
  // The encoder follows the bucket, which the platform holds: asked after its end it never answers.
  endings.push(async () => {
    await encoder?.stop();
    await worker?.platform.dispose();
  });
  const resources = await makeResources(aws);
  const { trainingBucket } = resources;
  const programs = programsIn({
    account,
    data: () => ({
      TrainingBucket: trainingBucket,
      TrainerImages: `${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/trainer-images`,
      EncoderImages: `${ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/encoder-images`,
      ImageBuilds: 'image-builds',
    }),
    async rest() {
      encoder = await startEncoder({ model: EMBEDDED_MODEL, registry: undefined, pollMs: POLL_MS });
      return { training: resources.outputs, encoding: { [CLOUD_OUTPUTS.encoderUrl]: `${encoder.url}/` } };
    },
    async worker({ [ENVARS.encoderUrl]: encoderUrl = '' }) {
      worker = await keepingSignals(() =>
        startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl, pollMs: POLL_MS, onEvent: () => {} }),
      );
      bound = openR2Store(await worker.platform.getR2Bucket(BUCKET));
      const namespace = await worker.platform.getKVNamespace(KEYS);
      endings.push(await mirrorKeys({ file: keys.file, namespace, pollMs: KEYS_MS, onProblem: console.error }));
      return worker.url;
    },
    key: () => keys.secrets.good,
    cloudflare: () => [{ id: 'c0', name: 'Me' }],
  });

  return {
    checkout,
    env: seen,
    stopped: aws.stopped,
    training: openStore(`s3://${trainingBucket}`),
    async published(digest) {
      if (bound === undefined) throw new Error('nothing is deployed yet');
      const stored = { digest, ...(await readManifest(bound, digest)) };
      const folder = await downloadWhole(bound, stored, join(root, 'published'));
      return { space: stored.manifest.space_id, folder };
    },
    async deploy(onEvent, stop) {
      const lines: string[] = [];
      const write = (text: string): void => {
        for (const line of text.trim().split('\n')) {
          lines.push(line);
          const event: DeployEvent | { refused: string } = JSON.parse(line);
          if ('event' in event) onEvent(event);
        }
      };
      const streams = { stdout: { write }, stderr: { write: (text: string) => lines.push(text) } };
      const argv = ['--environment', 'dev', '--json'];
      const code = await deployCommand(argv, { root, env: process.env, ...streams, stop, programs });
      if (code !== 0 || worker === undefined) throw new Error(`deploy ended with ${code}: ${lines.at(-1)}`);
      Object.assign(process.env, functionEnvironment(resources, join(root, 'trainer')));
      return worker.url;
    },
    close,
  };
}

/** Miniflare ends the process at Ctrl-C, before anything else that was started is ended: whoever makes the loop listens already. */
async function keepingSignals<T>(work: () => Promise<T>): Promise<T> {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const before = new Set(signals.flatMap((signal) => process.listeners(signal)));
  const result = await work();
  for (const signal of signals)
    for (const listener of process.listeners(signal))
      if (!before.has(listener)) process.removeListener(signal, listener);
  return result;
}
