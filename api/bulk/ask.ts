// What is asked for becomes a job: its options checked against the model, everything that may be left out filled in.
import { randomBytes } from 'node:crypto';
import type { BulkFormat, BulkInput, BulkJob, BulkType } from '../../contracts/src/bulk/job.ts';
import { hexOf } from '../../contracts/src/keys.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import { choose } from './model.ts';

export interface Asked {
  input: BulkInput;
  sources: string[];
  formats?: BulkFormat[] | undefined;
  type?: BulkType | undefined;
  dimensions?: number | undefined;
  model?: string | undefined;
}

/** Of the job itself, not of what it is asked to do. */
export type Named = Pick<BulkJob, 'id' | 'owner' | 'idempotency_key' | 'asked' | 'created_at' | 'expires_at'>;

/** The model that is current when a job is asked for. */
export interface CurrentModel {
  manifest: ModelManifest;
  /** Of its manifest in the registry; null: the embedded model. */
  digest: string | null;
}

/** A job that anybody may see and that never expires: one of a command. */
export const COMMAND = { owner: null, idempotency_key: null, asked: null, expires_at: null } as const;

/** Throws a CoreError where the model has no such id or no such length. */
export function jobOf(asked: Asked, current: CurrentModel, named: Named): BulkJob {
  const { input, sources, formats = ['jsonl'], type = 'float32' } = asked;
  const { id, dimensions } = choose(current.manifest, asked);
  const output = { formats: [...new Set(formats)], type, dimensions };
  const model = modelOf(current, id);
  return { schema_version: SCHEMA_VERSION, ...named, input, sources, output, model };
}

export function modelOf({ manifest, digest }: CurrentModel, id: string): BulkJob['model'] {
  const { version, space_id } = manifest;
  return { id, version, space_id, manifest: digest };
}

/** The same input, output and model have the same id: asking again goes on. */
export function idOf({
  input,
  sources,
  output,
  model,
}: Pick<BulkJob, 'input' | 'sources' | 'output' | 'model'>): string {
  return `bulk_${hexOf(sha256Of(JSON.stringify({ input, sources, output, model }))).slice(0, 32)}`;
}

/** What follows the kind in an id. */
export const serialOf = (id: string): string => id.replace(/^\w+?_/, '');

export function newId(kind: string): string {
  return `${kind}_${randomBytes(12).toString('hex')}`;
}
