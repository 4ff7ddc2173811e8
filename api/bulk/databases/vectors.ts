// Reads back what a bulk job left: the vectors of its shards with their names, for any database.
import { type BulkJob, BulkOutput } from '../../../contracts/src/bulk/job.ts';
import { BulkResult } from '../../../contracts/src/bulk/lines.ts';
import { bulkFiles } from '../../../contracts/src/keys.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { sha256Of } from '../../registry/stores/hash.ts';
import { type JobFolder, totalsOf } from '../service/folder.ts';

/** What has to be equal for vectors to be compared. */
export interface Kind extends Pick<BulkOutput, 'type' | 'dimensions'> {
  space_id: string;
}

/** A vector and what it is of. */
export interface NamedVector {
  custom_id: string;
  modality: BulkResult['modality'];
  /** Little-endian float32, int8, or bits with the first one highest. */
  bytes: Uint8Array;
}

export interface JobVectors {
  kind: Kind;
  model: BulkJob['model'];
  count: number;
  /** A shard at a time; one whose items all failed has none to give. Names of a batch are different, of those that are alike the last stays; two batches may have one name. */
  batches(): AsyncGenerator<NamedVector[]>;
}

/** Refuses a job that is not finished, and one whose files are not what its shards left. */
export async function readJobVectors(folder: JobFolder): Promise<JobVectors> {
  const [job, plan] = await Promise.all([folder.job(), folder.plan()]);
  if (!job || !plan) throw new UserError(`${folder.uri} is not a folder that npm run encode or a job wrote`);
  const output = BulkOutput.safeParse(job.output).data;
  if (output === undefined) {
    throw new UserError(`${folder.uri} holds answers to requests of a batch, and no files of vectors`);
  }
  if (!output.formats.includes('jsonl')) {
    throw new UserError(
      `${folder.uri} has ${output.formats.join(', ')}: names and vectors are read from jsonl, so encode with --format jsonl`,
    );
  }
  const marks = await folder.allDone();
  if (marks.length < plan.shards) {
    throw new UserError(
      `${folder.uri}: ${marks.length} of ${plan.shards} shards are finished; run npm run encode to its end first`,
    );
  }
  const count = totalsOf(marks).succeeded;
  if (count === 0) throw new UserError(`${folder.uri} holds no vector: every item failed (errors-*.jsonl say why)`);
  const { type, dimensions } = output;
  return {
    kind: { type, dimensions, space_id: job.model.space_id },
    model: job.model,
    count,
    async *batches() {
      for (const mark of marks) {
        const name = bulkFiles(mark.shard).part('jsonl');
        const bytes = await (await folder.get(name))?.bytes();
        if (bytes === undefined) throw new UserError(`${folder.uri}/${name} is missing`);
        if (sha256Of(bytes) !== mark.files.find(({ path }) => path === name)?.digest) {
          throw new UserError(`${folder.uri}/${name} is not the file that its shard left: encode it again`);
        }
        const vectors = namedVectors(Buffer.from(bytes).toString('utf8'));
        if (vectors.length > 0) yield vectors;
      }
    },
  };
}

function namedVectors(text: string): NamedVector[] {
  const byName = new Map<string, NamedVector>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const { custom_id, modality, embedding } = BulkResult.parse(JSON.parse(line));
    byName.set(custom_id, { custom_id, modality, bytes: Buffer.from(embedding, 'base64') });
  }
  return [...byName.values()];
}
