// Composition root of every host: opens a model folder, or follows a registry, and returns a service ready to answer.
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { numberOf } from '../../../contracts/command/numbers.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { openRegistry, openStore } from '../../registry/stores/open.ts';
import { createAdmission } from '../admission.ts';
import { createEncode } from '../encode.ts';
import { followTowers } from '../follow-towers.ts';
import type { Service } from '../http.ts';
import { openSession, providerOf, readManifest } from '../session.ts';
import { singleTower, type Tower } from '../towers.ts';

const EMBEDDED = fileURLToPath(new URL('../../model', import.meta.url));
const REGISTRY_SECONDS = 60;
/** A hundredth of a second is for tests; longer than a day is a mistake. */
const SECONDS = { from: 0.01, to: 86_400 };

export interface ServiceOptions {
  /** Folder of a model (default $CLIP_MODEL, else api/model). With a registry: served until that names another. */
  model?: string | undefined;
  /** Model registry to follow (default $MODEL_REGISTRY, else none). */
  registry?: string | undefined;
  threads?: number | undefined;
}
interface Closable {
  close(): Promise<void>;
}

export async function openService(options: ServiceOptions = {}): Promise<Service & Closable> {
  const { threads = availableParallelism() } = options;
  const embedded = options.model ?? process.env[ENVARS.model] ?? EMBEDDED;
  const uri = options.registry ?? process.env[ENVARS.registry];
  const admission = createAdmission();
  const bucket = process.env[ENVARS.uploads];
  const uploads = bucket ? openStore(bucket) : undefined;
  if (!uri) {
    const { close, ...tower } = await openTower({ model: embedded, threads });
    return { towers: singleTower(tower), admission, uploads, close };
  }
  const name = process.env[ENVARS.modelName];
  const seconds =
    numberOf(`$${ENVARS.registrySeconds}`, process.env[ENVARS.registrySeconds], SECONDS) ?? REGISTRY_SECONDS;
  const registry = openRegistry(uri, process.env);
  const towers = await followTowers({
    embedded,
    registry,
    name,
    seconds,
    threads,
    provider: providerOf(process.env[ENVARS.encoderProvider]),
  });
  return { towers, admission, uploads, close: () => towers.close() };
}

/** One model's image tower, for a host that does one job. */
export async function openTower({ model, threads }: ServiceOptions = {}): Promise<Tower & Closable> {
  const folder = model ?? process.env[ENVARS.model] ?? EMBEDDED;
  const manifest = await readManifest(folder);
  const options = {
    threads: threads ?? availableParallelism(),
    provider: providerOf(process.env[ENVARS.encoderProvider]),
  };
  const session = await openSession(folder, manifest, options);
  return { manifest, encode: createEncode(manifest, session), close: () => session.close() };
}
