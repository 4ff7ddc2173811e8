// Opens what every host of bulk jobs needs by its environment and options: stores, and the model that a job names.
import { availableParallelism, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BulkJob } from '../../../contracts/src/bulk/job.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { withoutTrailing } from '../../core/validation/trailing.ts';
import { downloadWhole } from '../../encoder/model-cache.ts';
import { providerOf, readManifest as readEmbedded } from '../../encoder/session.ts';
import { readManifest } from '../../registry/read.ts';
import type { ObjectStore } from '../../registry/store.ts';
import { toFileUri } from '../../registry/stores/file-uri.ts';
import { openRegistry } from '../../registry/stores/open.ts';
import { type BulkEncoder, openBulkEncoder } from '../model.ts';
import { openPlace, type PlaceOptions } from '../places.ts';
import type { RunOptions } from '../run.ts';
import { type CurrentModel, currentIn } from '../service/ask.ts';
import { type JobFolder, openJobFolder } from '../service/folder.ts';
import type { VideoPrograms } from '../video/program.ts';
import { cacheFolder } from './cache-folder.ts';

const EMBEDDED = fileURLToPath(new URL('../../model', import.meta.url));
const SHARD_HOST = fileURLToPath(new URL('shard.ts', import.meta.url));
const TEXT_MODULE = new URL('../../text/wasm/encoder.wasm', import.meta.url);

/** Absent: what the environment says. */
export interface ModelOptions {
  model?: string | undefined;
  registry?: string | undefined;
}

/** The program that encodes shards, told of the same model. */
export function shardHost(model: ModelOptions): RunOptions['host'] {
  return { file: SHARD_HOST, words: modelWords(model) };
}

export function modelWords({ model, registry }: ModelOptions): string[] {
  return [
    ...(model === undefined ? [] : ['--model', model]),
    ...(registry === undefined ? [] : ['--registry', registry]),
  ];
}

/** Opens a folder or prefix by its URI. */
export const openUri = (uri: string): ObjectStore => openPlace(uri, placeOptions());

export function placeOptions(): PlaceOptions {
  const { R2_ENDPOINT: endpoint, R2_ACCESS_KEY_ID: accessKeyId, R2_SECRET_ACCESS_KEY: secretAccessKey } = process.env;
  if (!endpoint) return {};
  const credentials = accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey } : undefined;
  return { r2: { endpoint, credentials } };
}

/** Where this machine has its programs, and how many threads they may use (default all cores). */
export function videoPrograms(threads = availableParallelism()): VideoPrograms {
  return { path: process.env.PATH ?? '', threads };
}

/** As Qdrant's own tools are given it. */
export function qdrantKey(): string | undefined {
  return process.env.QDRANT_API_KEY;
}

/** A path, `file://`, `s3://` or `r2://` as a URI without a slash at its end, but for the root, which is `file:///`. */
export function toUri(place: string): string {
  const [, scheme] = /^(\w+):\/\//.exec(place) ?? [];
  if (scheme === undefined) return toFileUri(resolve(place));
  if (!['file', 's3', 'r2'].includes(scheme)) {
    throw new UserError(`${place}: only folders, file://, s3:// and r2:// can be read and written`);
  }
  const uri = withoutTrailing(place, '/');
  return uri === 'file:' ? 'file:///' : uri;
}

export function openFolder(place: string): JobFolder {
  return openJobFolder(openUri(toUri(place)));
}

/** What is current by the environment and options. */
export async function currentModel({ model, registry }: ModelOptions): Promise<CurrentModel> {
  const embedded = await readEmbedded(embeddedFolder(model));
  return currentIn(registryOf(registry), { embedded, name: process.env[ENVARS.modelName] });
}

/** The model of a job, whatever is current by now. */
export async function folderOf({ model: { manifest } }: BulkJob, { model, registry }: ModelOptions): Promise<string> {
  if (manifest === null) return embeddedFolder(model);
  const store = registryOf(registry);
  if (!store)
    throw new UserError(`the job's model ${manifest} is in a registry: say which (--registry or $${ENVARS.registry})`);
  return downloaded(store, manifest);
}

const provider = () => providerOf(process.env[ENVARS.encoderProvider]);

/** Whether the image tower runs on processors. */
export const isOnProcessors = (): boolean => provider() === 'cpu';

/** Of this machine, or what its container may have of it. */
export function memoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Infinity);
}

export function openEncoder(folder: string, threads?: number): Promise<BulkEncoder> {
  return openBulkEncoder({ folder, textModule: TEXT_MODULE, threads, provider: provider() });
}

function embeddedFolder(model: string | undefined): string {
  return model ?? process.env[ENVARS.model] ?? EMBEDDED;
}

function registryOf(uri = process.env[ENVARS.registry]): ObjectStore | undefined {
  return uri ? openRegistry(uri, process.env) : undefined;
}

/** Kept between processes of this machine, and by digest: it never changes. */
async function downloaded(store: ObjectStore, digest: string): Promise<string> {
  const cache = await cacheFolder(process.env.XDG_CACHE_HOME);
  return downloadWhole(store, { digest, ...(await readManifest(store, digest)) }, cache);
}

/** Hosts in private networks that may be told of the end of jobs all the same, separated by spaces or commas. */
export function webhookHosts(): readonly string[] {
  return (process.env.WEBHOOK_HOSTS ?? '').split(/[\s,]+/).filter(Boolean);
}
