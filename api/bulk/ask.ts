// What is asked for becomes a job: its options checked against the model, everything that may be left out filled in.
import { randomBytes } from 'node:crypto';
import type { BulkFormat, BulkInput, BulkJob, BulkType } from '../../contracts/src/bulk/job.ts';
import { hexOf } from '../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import type { BulkEncoder } from './model.ts';

export interface Asked {
  input: BulkInput;
  sources: string[];
  formats?: BulkFormat[] | undefined;
  type?: BulkType | undefined;
  dimensions?: number | undefined;
  model?: string | undefined;
}

/** Of the job itself, not of what it is asked to do. */
export type Named = Pick<BulkJob, 'id' | 'owner' | 'idempotency_key' | 'created_at' | 'expires_at'>;

/** Throws a CoreError where the model has no such id or no such length. */
export function jobOf(
  asked: Asked,
  { encoder, manifest }: { encoder: Pick<BulkEncoder, 'choose' | 'manifest'>; manifest: string | null },
  named: Named,
): BulkJob {
  const { input, sources, formats = ['jsonl'], type = 'float32' } = asked;
  const { id, dimensions } = encoder.choose(asked.model, asked.dimensions);
  const { version, space_id } = encoder.manifest;
  const output = { formats: [...new Set(formats)], type, dimensions };
  return {
    schema_version: SCHEMA_VERSION,
    ...named,
    input,
    sources,
    output,
    model: { id, version, space_id, manifest },
  };
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

export function newId(kind: string): string {
  return `${kind}_${randomBytes(12).toString('hex')}`;
}
