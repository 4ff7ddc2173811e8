// Starts the parts of `npm start`: the Worker and the image encoder, both following a registry folder.

import { join } from 'node:path';
import type { Miniflare } from 'miniflare';
import { FILES } from '../../contracts/src/keys.ts';
import { toFileUri } from '../registry/stores/file-uri.ts';
import { digestOfFile } from '../registry/stores/hash.ts';
import { openStore } from '../registry/stores/open.ts';
import { openR2Store } from '../registry/stores/r2.ts';
import { readModelFolder } from './assets/model-folder.ts';
import { mirrorKeys } from './key-mirror.ts';
import { startEncoder } from './local-encoder.ts';
import { startJobs } from './local-jobs.ts';
import type { LocalProcess } from './local-process.ts';
import {
  BUCKET,
  KEYS,
  type LocalWorker,
  print,
  startWorker,
  type WorkerEvent,
  type WorkerOptions,
} from './local-worker.ts';
import { createMirror } from './mirror.ts';
import { startUploads } from './s3/uploads.ts';

export interface LocalOptions extends Omit<WorkerOptions, 'encoderUrl' | 'jobsUrl'> {
  /** Folder to follow, which may appear later; undefined: `model` permanently. */
  registry?: string | undefined;
  /** File with the API keys, which may appear later; undefined: there are none. */
  keys?: string | undefined;
  /** Folder of bulk jobs; undefined: there are none. */
  jobs?: string | undefined;
  /** What bulk jobs may read from. */
  jobSources?: string[];
}
export interface Local {
  url: string;
  /** Holds the simulated bucket and namespaces. */
  platform: Miniflare;
  stop(): Promise<void>;
}

/** `pollMs`: between two polls of the folder, and of the bucket that mirrors it. */
export async function startLocal({
  registry,
  keys,
  jobs: jobFolder,
  jobSources = [],
  pollMs = 1000,
  onEvent = print,
  ...options
}: LocalOptions): Promise<Local> {
  const { model } = options;
  const starting: Promise<LocalProcess>[] = [startEncoder({ model, registry, pollMs })];
  if (jobFolder !== undefined) starting.push(startJobs({ model, registry, folder: jobFolder, sources: jobSources }));
  const [encoder, jobs] = await Promise.all(starting);
  const uploads = await startUploads();
  let worker: LocalWorker | undefined;
  const endings: (() => void)[] = [uploads.stop];
  const stop = async () => {
    for (const end of endings) end();
    await Promise.all([worker?.stop(), encoder?.stop(), jobs?.stop()]);
  };
  try {
    const current = { manifest: await digestOfFile(join(model, FILES.manifest)) };
    const notice = (event: WorkerEvent) => {
      if (event.event === 'model_current') current.manifest = String(event.manifest);
      onEvent(event);
    };
    const bucketPollMs = registry === undefined ? undefined : pollMs;
    worker = await startWorker({
      ...options,
      variables: { ...uploads.variables, ...options.variables },
      encoderUrl: encoder?.url ?? '',
      jobsUrl: jobs?.url,
      pollMs: bucketPollMs,
      onEvent: notice,
    });
    const { url, platform } = worker;
    if (keys !== undefined) endings.push(await followKeys(keys, platform, pollMs));
    if (registry !== undefined) {
      const { name, requireKeys } = options;
      const follower = { url, model, name, requireKeys, pollMs, current, onEvent };
      endings.push(await followFolder(registry, platform, follower));
    }
    return { url, platform, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function followKeys(file: string, platform: Miniflare, pollMs: number): Promise<() => void> {
  const namespace = await platform.getKVNamespace(KEYS);
  return mirrorKeys({ file, namespace, pollMs, onProblem: (reason) => console.error(reason) });
}

interface FollowerOptions {
  url: string;
  model: string;
  pollMs: number;
  name?: string | undefined;
  requireKeys?: boolean | undefined;
  /** What the Worker said last. */
  current: { manifest: string };
  onEvent: (event: WorkerEvent) => void;
}

/** Mirrors the folder once before it returns, then again and again; returns how to end that. */
async function followFolder(folder: string, platform: Miniflare, options: FollowerOptions): Promise<() => void> {
  const { url, model, pollMs, current, onEvent } = options;
  // What needs no key where every request needs one.
  const asked = options.requireKeys ? '/health/ready' : '/v1/models';
  const bucket = await platform.getR2Bucket(BUCKET);
  const name = options.name ?? readModelFolder(model).name;
  let isEnded = false;
  const onProblem = (reason: string) => {
    if (!isEnded) onEvent({ event: 'registry_unreadable', reason });
  };
  const registry = openStore(toFileUri(folder));
  const mirror = createMirror({ registry, bucket: openR2Store(bucket), name, onProblem });
  const again = async () => {
    const named = await mirror.sync();
    // The Worker polls behind a request: while there is no other one, this is it.
    if (named && named !== current.manifest && !isEnded) await fetch(`${url}${asked}`).catch(() => undefined);
    if (!isEnded) timer = setTimeout(again, pollMs);
  };
  await mirror.sync();
  let timer = setTimeout(again, pollMs);
  return () => {
    isEnded = true;
    clearTimeout(timer);
  };
}
