// A bulk job's folder in a store: its documents, each written in one step, and the marks of its finished shards.
import { BulkDone, BulkJob, BulkPlan, BulkStop } from '../../../contracts/src/bulk/job.ts';
import { BULK_PARTS, bulkFiles, FILES, shardOfDone } from '../../../contracts/src/keys.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import {
  type Condition,
  encodeDocument,
  type ObjectBody,
  type ObjectStore,
  type StoredObject,
} from '../../registry/store.ts';

export interface JobFolder {
  /** `file://`, `s3://` or `r2://`: where it is. */
  uri: string;
  get(file: string): Promise<StoredObject | undefined>;
  /** A document; undefined where it is not there. Throws an UnreadableDocument where it is another. */
  read<T>(file: string, schema: { parse(document: unknown): T }): Promise<T | undefined>;
  /** As `read`, with the etag by which it is written only while it is still this one. */
  readTagged<T>(file: string, schema: { parse(document: unknown): T }): Promise<{ value: T; etag: string } | undefined>;
  /** Writes in one step. Answers whether `condition` held and it was written. */
  put(file: string, body: Uint8Array | ObjectBody, condition?: Condition): Promise<boolean>;
  job(): Promise<BulkJob | undefined>;
  /** False where another job is there already. */
  begin(job: BulkJob): Promise<boolean>;
  plan(): Promise<BulkPlan | undefined>;
  stopped(): Promise<BulkStop | undefined>;
  /** The first reason stays. */
  stop(stop: BulkStop): Promise<void>;
  /** Of one shard. */
  done(shard: number): Promise<BulkDone | undefined>;
  /** How many are finished, without reading what their marks say. */
  countDone(): Promise<number>;
  /** Of all that are finished, in order. Marks never change: those that were read before are not read again. */
  allDone(): Promise<BulkDone[]>;
}

/** What is stored under a name is not the document that belongs there: it is of another version, or damaged. */
export class UnreadableDocument extends UserError {
  override readonly name = 'UnreadableDocument';
}

/**
 * For a `catch` where an unreadable document is as good as none: its owner, too, stands in it, so nobody may be told of it, and only
 * the log has it. Whatever else went wrong is thrown.
 */
export function asNone(onProblem: ((sentence: string) => void) | undefined): (error: unknown) => undefined {
  return function noneIfUnreadable(error) {
    if (!(error instanceof UnreadableDocument)) throw error;
    onProblem?.(`passed over: ${error.message}`);
  };
}

/** A document as it is stored. `where`: its URI, for the sentence of the UnreadableDocument that is thrown. */
function parseStored<T>(text: string, schema: { parse(document: unknown): T }, where: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new UnreadableDocument(`${where} is not what a bulk job leaves there: ${reasonOf(error)}`);
  }
}

/** Items of all shards that are finished. */
export function totalsOf(marks: BulkDone[]): { succeeded: number; failed: number } {
  const totals = { succeeded: 0, failed: 0 };
  for (const { succeeded, failed } of marks) {
    totals.succeeded += succeeded;
    totals.failed += failed;
  }
  return totals;
}

/** Marks that are read at a time. */
const AT_A_TIME = 32;

/** `prefix`: of the job in the store, without a slash at its end; empty: the store is the folder. */
export function openJobFolder(store: ObjectStore, prefix = ''): JobFolder {
  const keyOf = (file: string): string => (prefix === '' ? file : `${prefix}/${file}`);
  const uri = keyOf('') === '' ? store.uri : `${store.uri}/${prefix}`;
  const marks = new Map<number, BulkDone>();
  const get = (file: string) => store.get(keyOf(file));
  const finished = async (): Promise<number[]> =>
    (await store.list(keyOf(BULK_PARTS))).flatMap(({ key }) => shardOfDone(key) ?? []);
  async function readTagged<T>(file: string, schema: { parse(document: unknown): T }) {
    const object = await get(file);
    if (object === undefined) return undefined;
    return { value: parseStored(await object.text(), schema, `${uri}/${file}`), etag: object.etag };
  }
  const folder: JobFolder = {
    uri,
    get,
    read: async (file, schema) => (await readTagged(file, schema))?.value,
    readTagged,
    put: (file, body, condition) => store.put(keyOf(file), body, condition),
    job: () => folder.read(FILES.job, BulkJob),
    begin: (job) => store.put(keyOf(FILES.job), encodeDocument(job), 'absent'),
    plan: () => folder.read(FILES.plan, BulkPlan),
    stopped: () => folder.read(FILES.stop, BulkStop),
    async stop(stop) {
      await store.put(keyOf(FILES.stop), encodeDocument(stop), 'absent');
    },
    done: (shard) => folder.read(bulkFiles(shard).done, BulkDone),
    countDone: async () => (await finished()).length,
    async allDone() {
      const unread = (await finished()).filter((shard) => !marks.has(shard));
      for (let at = 0; at < unread.length; at += AT_A_TIME) {
        const some = unread.slice(at, at + AT_A_TIME);
        const read = await Promise.all(some.map((shard) => folder.done(shard)));
        for (const mark of read) if (mark) marks.set(mark.shard, mark);
      }
      return [...marks.values()].sort((a, b) => a.shard - b.shard);
    },
  };
  return folder;
}
