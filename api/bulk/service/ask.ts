// Makes a job of what is asked for: checks its options against the model, and fills in what was left out.
import { PLAN_LIMITS } from '../../../contracts/src/api/limits.ts';
import type {
  BulkFormat,
  BulkInput,
  BulkJob,
  BulkMachineKind,
  BulkOutput,
  BulkType,
} from '../../../contracts/src/bulk/job.ts';
import type { VideoSampling } from '../../../contracts/src/bulk/video.ts';
import { hexOf } from '../../../contracts/src/keys.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { chooseDimensions, chooseModel } from '../../core/model.ts';
import { sha256 } from '../../registry/digest.ts';
import { readManifest, readPointer, readRelease } from '../../registry/read.ts';
import type { ObjectReader } from '../../registry/store.ts';

export interface Asked {
  input: BulkInput;
  sources: string[];
  formats?: BulkFormat[] | undefined;
  type?: BulkType | undefined;
  dimensions?: number | undefined;
  model?: string | undefined;
  /** Absent: videos are not read. */
  video?: VideoSampling | undefined;
  /** Absent: whichever the plan finds the cheaper. */
  machine?: BulkMachineKind | undefined;
}

/** What is known of a job apart from what it is asked to do. */
export type Named = Pick<BulkJob, 'id' | 'owner' | 'idempotency_key' | 'asked' | 'created_at' | 'expires_at'>;

/** The model that is current when a job is asked for. */
export interface CurrentModel {
  manifest: ModelManifest;
  /** Of its manifest in the registry; null: the embedded model. */
  digest: string | null;
}

/** No client waits: what bounds a request's computing does not bind here, and a text still has its own limits. */
export const LIMITS = {
  ...PLAN_LIMITS.paid,
  tokens: { student: Number.MAX_SAFE_INTEGER, tiny: Number.MAX_SAFE_INTEGER, static: Number.MAX_SAFE_INTEGER },
};

/** Id and dimensions that a job embeds with. Throws a CoreError that names what there is, before the model is opened. */
export function choose(
  manifest: ModelManifest,
  asked: { model?: string | undefined; dimensions?: number | undefined },
) {
  const offer = { manifest, limits: LIMITS };
  return { id: chooseModel(offer, asked.model).id, dimensions: chooseDimensions(offer, asked.dimensions) };
}

/** The pointer's where there is a registry with one, else the embedded one. Nothing but manifests is read. */
export async function currentIn(
  registry: ObjectReader | undefined,
  { embedded, name = embedded.name }: { embedded: ModelManifest; name?: string | undefined },
): Promise<CurrentModel> {
  const pointed = registry && (await readPointer(registry, name));
  if (!registry || !pointed) return { manifest: embedded, digest: null };
  const { manifest: digest } = await readRelease(registry, pointed.pointer.release);
  return { manifest: (await readManifest(registry, digest)).manifest, digest };
}

/** A job that anybody may see and that never expires: one of a command. */
export const COMMAND = { owner: null, idempotency_key: null, asked: null, expires_at: null } as const;

/** Throws a CoreError where the model has no such id or no such length. */
export function jobOf(asked: Asked, current: CurrentModel, named: Named): BulkJob & { output: BulkOutput } {
  const { input, sources, formats = ['jsonl'], type = 'float32', video = null, machine = null } = asked;
  const { id, dimensions } = choose(current.manifest, asked);
  const output = { formats: [...new Set(formats)], type, dimensions };
  const model = modelOf(current, id);
  return { schema_version: SCHEMA_VERSION, ...named, input, sources, video, machine, output, model };
}

export function modelOf({ manifest, digest }: CurrentModel, id: string): BulkJob['model'] {
  const { version, space_id } = manifest;
  return { id, version, space_id, manifest: digest };
}

type Work = Pick<BulkJob, 'input' | 'sources' | 'video' | 'output' | 'model'>;

/**
 * The same work has the same id: asking again goes on. `manifest`: of a model that is in no registry, whose texts may be encoded by other
 * files under the same version and in the same space. Without it, the id that jobs of earlier versions have.
 */
export async function idOf({ input, sources, video, output, model }: Work, manifest?: ModelManifest): Promise<string> {
  return `bulk_${hexOf(await digestOf({ input, sources, video, output, model, manifest })).slice(0, 32)}`;
}

/** Of a value as JSON. */
export function digestOf(value: unknown): Promise<string> {
  return sha256(Uint8Array.from(new TextEncoder().encode(JSON.stringify(value))));
}

/** What follows the kind in an id. */
export const serialOf = (id: string): string => id.replace(/^\w+?_/, '');

export function newId(kind: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `${kind}_${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
