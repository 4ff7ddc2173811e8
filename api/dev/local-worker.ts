// The Worker in workerd on this machine.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { convertV4MiniflareOptions, Miniflare } from 'miniflare';
import { atExit } from '../../contracts/command/at-exit.ts';
import { HOST } from '../../contracts/command/local-server.ts';
import { ENVARS } from '../../contracts/src/envars.ts';
import { FollowEvent, RequestEvent, readEvent } from '../../contracts/src/events.ts';
import { type StaticFilesOptions, writeStaticFiles } from './assets/write.ts';
import { bundleWorker, WITH_ONNXRUNTIME, type WorkerModule } from './bundle.ts';

export const COMPATIBILITY_DATE = '2026-08-01';
export const COMPATIBILITY_FLAGS = ['enable_request_signal'];
/** Name in wrangler.toml of the bucket with the model registry. */
export const BUCKET = 'MODELS';

/** Name in wrangler.toml of the namespace with the API keys. */
export const KEYS = 'KEYS';
const NAME = 'edge-clip';
/** What the front calls the Worker behind its static files. */
const SITE = 'SITE';
/** The entrypoint that listens. Before the default export Miniflare puts four Workers for the static files. */
const ENTRY = 'front';
const FRONT = fileURLToPath(new URL('front.ts', import.meta.url));
/** A key that was made or revoked in a file is noticed as soon as the file's copy. */
const KEY_SECONDS = 1;

/** As wrangler.toml has them: paths, or how they begin where a star is behind them. */
export const RUN_WORKER_FIRST = [
  ...['/', '/openapi.json', '/embed', '/similarity', '/classify', '/tokenize', '/rerank', '/info', '/metrics', '/ping'],
  ...['/health', '/health/*', '/models', '/models/*', '/embeddings', '/multimodalembeddings', '/v1/*', '/v2/*'],
];
/** What a person or a service manager ends a process with. */
export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const FLOOD = { namespace_id: '1001', simple: { limit: 6000, period: 60 as const } };

/** What the Worker prints about a published model, one JSON line each. */
export type WorkerEvent = FollowEvent;

export interface WorkerOptions {
  model: string;
  /** Folder of static files; absent: one of its own for the page and the model, which goes with this process. */
  assets?: string | undefined;
  port: number;
  encoderUrl: string;
  /** Where the service of bulk jobs listens; absent: there is none. */
  jobsUrl?: string | undefined;
  /** Another file than the Worker's own with onnxruntime-web: one that wraps it, or that without. */
  entry?: string;
  /** Model whose pointer is followed; undefined: that of the embedded model. */
  name?: string | undefined;
  /** Between two polls of the pointer in the simulated bucket; undefined: there is no bucket. */
  pollMs?: number | undefined;
  onEvent?: (event: WorkerEvent) => void;
  /** Told of every request. */
  onRequest?: (event: RequestEvent) => void;
  /** Every request needs an API key; without this, what is sent to a name of this machine needs none. */
  requireKeys?: boolean | undefined;
  /** The caller ends it at signals. Of itself Miniflare ends the whole process at one, whatever is still to be put in order. */
  isEndedByCaller?: boolean;
  /** Further variables, as `wrangler secret put` sets them. */
  variables?: Record<string, string>;
}

/** The Worker and where it answers. */
export interface LocalWorker {
  /** Holds the simulated bucket and namespaces. */
  platform: Miniflare;
  url: string;
  /** Ends it, and removes what it was started with; `platform.dispose` leaves that until this process exits. */
  stop(): Promise<void>;
}

export async function startWorker({
  pollMs,
  name,
  onEvent = print,
  onRequest = () => {},
  requireKeys = false,
  variables = {},
  ...options
}: WorkerOptions): Promise<LocalWorker> {
  const { directory, remove } = options.assets
    ? { directory: options.assets, remove() {} }
    : await temporaryAssets(options.model, { onnx: variables.TEXT_ENGINE === 'onnx' });
  const service = {
    name: NAME,
    ...(await workerCode(options)),
    bindings: {
      [ENVARS.encoderUrl]: options.encoderUrl,
      ...(options.jobsUrl === undefined ? {} : { [ENVARS.jobsUrl]: options.jobsUrl }),
      ...(pollMs === undefined ? {} : { [ENVARS.registrySeconds]: pollMs / 1000 }),
      ...(name ? { [ENVARS.modelName]: name } : {}),
      // It listens on this machine alone, which the Worker cannot see: it is told.
      [ENVARS.access]: requireKeys ? 'keys' : 'loopback',
      [ENVARS.keySeconds]: KEY_SECONDS,
      CACHE: 'memory',
      ...variables,
    },
    serviceBindings: { [SITE]: NAME },
    unsafeDirectSockets: [{ host: HOST, port: options.port, entrypoint: ENTRY }],
    kvNamespaces: [KEYS],
    durableObjects: { USAGE: { className: 'KeyUsage', useSQLite: true } },
    ratelimits: { FLOOD },
    r2Buckets: pollMs !== undefined ? [BUCKET] : [],
    assets: {
      directory,
      binding: 'ASSETS',
      routerConfig: { has_user_worker: true },
      run_worker_first: RUN_WORKER_FIRST,
    },
  };
  const settings = convertV4MiniflareOptions({
    host: HOST,
    // Miniflare's own front, which answers what it cannot read with a stack, and tells of nothing.
    port: 0,
    workers: [service],
    handleStructuredLogs({ level, message }) {
      const event = readEvent(FollowEvent, message);
      const request = event ? undefined : readEvent(RequestEvent, message);
      if (event) onEvent(event);
      else if (request) onRequest(request);
      else if (level === 'error' || level === 'warn') console.error(message);
      else console.log(message);
    },
  });
  const begin = () => new Miniflare(settings);
  const platform = options.isEndedByCaller ? withoutSignals(begin) : begin();
  await platform.ready;
  const { origin: url } = await platform.unsafeGetDirectURL(NAME, ENTRY);
  return { platform, url, stop: () => platform.dispose().finally(remove) };
}

/** What `begin` does, without what it would have done at signals. What it does when the process exits stays: workerd goes then. */
function withoutSignals<T>(begin: () => T): T {
  const before = SIGNALS.map((signal) => ({ signal, known: process.listeners(signal) }));
  const begun = begin();
  for (const { signal, known } of before) {
    for (const listener of process.listeners(signal)) if (!known.includes(listener)) process.off(signal, listener);
  }
  return begun;
}

/** A copy: what is installed or trained meanwhile belongs to the next start. */
async function temporaryAssets(model: string, options: StaticFilesOptions) {
  const directory = mkdtempSync(join(tmpdir(), 'edge-clip-assets-'));
  const removeNow = () => rmSync(directory, { recursive: true, force: true });
  const takeBack = atExit(removeNow);
  await writeStaticFiles(directory, model, options);
  return {
    directory,
    remove() {
      takeBack();
      removeNow();
    },
  };
}

/** The Worker's modules behind one that exports the front, too. The first module is the entry. */
async function workerCode({ model, entry = WITH_ONNXRUNTIME }: Pick<WorkerOptions, 'model' | 'entry'>) {
  const front = (await bundleWorker({ entry: FRONT })).map((module) => ({ ...module, path: 'front.js' }));
  const both: WorkerModule = {
    type: 'ESModule',
    path: 'entry.js',
    contents: `
      import { before } from './front.js';
      import worker from './index.js';
      export * from './index.js';
      export { worker as default };
      export const ${ENTRY} = before(worker, ${JSON.stringify(RUN_WORKER_FIRST)});`,
  };
  const modules = [both, ...front, ...(await bundleWorker({ model, entry }))];
  return {
    compatibilityDate: COMPATIBILITY_DATE,
    compatibilityFlags: COMPATIBILITY_FLAGS,
    modulesRoot: '/',
    modules: modules.map((module) => ({ ...module, path: `/${module.path}` })),
  };
}

/** A line for a person who watches: `200 embed, 12 ms, 8 tokens`. */
export function printRequest({ status, operation, method, ms, tokens, images, code, cache, key }: RequestEvent): void {
  const parts = [
    `${status} ${operation ?? method}`,
    `${ms} ms`,
    ...(tokens > 0 ? [`${tokens} tokens`] : []),
    ...(images > 0 ? [`${images} images`] : []),
    ...(cache ? [`cache ${cache}`] : []),
    ...(key ? [key] : []),
    ...(code ? [code] : []),
  ];
  console.log(parts.join(', '));
}

/** For a person who watches. */
export function print(event: WorkerEvent): void {
  if (event.event === 'model_current') console.log(`${event.model} ${event.version} is current (was ${event.was})`);
  else if (event.event === 'model_refused') console.error(`the published model is refused: ${event.reason}`);
  else if (event.event === 'model_waits') console.error(`the published model waits: ${event.reason}`);
  else console.error(`${event.event}: ${event.reason}`);
}
