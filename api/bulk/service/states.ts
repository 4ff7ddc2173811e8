// Jobs and batches as what they have in common: begun once under a key, found by their owner, cancelled, given up.

import { PAGE_ITEMS, type PageQuery } from '../../../contracts/src/api/tasks/pages.ts';
import { BULK_LIMITS, type BulkJob, type BulkStop, CANCELLED } from '../../../contracts/src/bulk/job.ts';
import type { Left } from '../../../contracts/src/bulk/quota.ts';
import type { BulkWork } from '../../../contracts/src/cloud/bulk-estimate.ts';
import { bulkFolder, hexOf, jobOfKey, ownedId, ownedKey, ownedPrefix, PREFIXES } from '../../../contracts/src/keys.ts';
import { BulkJobId } from '../../../contracts/src/names.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { CoreError, quoted } from '../../core/errors.ts';
import type { ObjectStore } from '../../registry/store.ts';
import { type CurrentModel, digestOf, type Named, newId } from './ask.ts';
import { asNone, type JobFolder, openJobFolder } from './folder.ts';
import { type PlanOptions, planJob } from './plan.ts';
import { keepBudget, takeCharge } from './quota.ts';
import { isFinal, type JobState, statusOf } from './status.ts';

/** What runs jobs: processes of a machine, or AWS Batch. */
export interface Runner {
  /** How its jobs are cut, which is done before they are submitted. */
  planning: PlanOptions;
  /** Has the job's shards run; does nothing where they are running, or the job has ended. */
  submit(id: string): void | Promise<void>;
  /** Ends what runs of it; what is finished stays. */
  cancel(id: string): void | Promise<void>;
  /** Why no process works any more on a job that has not ended; undefined where one does. Absent: the runner writes down the end itself. */
  failure?(state: JobState): Promise<{ message: string; shard: number | null } | undefined>;
}

export interface ServiceOptions {
  store: ObjectStore;
  runner: Runner;
  /** Places that an input of that owner may be in. */
  places(owner: Owner): string[];
  /** Places that its lines may name an image in, beside the folder of the lines. */
  sources(owner: Owner): string[];
  current(): Promise<CurrentModel>;
  /** Told of jobs that end because of what was asked here. Absent: the runner notices it. */
  onEnd?(id: string): void;
  /** Hosts in private networks that may be told of the end of jobs. */
  webhookHosts?: readonly string[];
  /** Told of what a list passes over. */
  onProblem?(sentence: string): void;
}

/** Who asks: the prefix of an API key; null: a caller on this machine, or of a service without keys. */
export type Owner = string | null;

export interface Asker {
  owner: Owner;
  /** The header `Idempotency-Key`. */
  idempotencyKey: string | null;
  /** Absent: nothing is counted. */
  left?: Left | undefined;
  /** Told where something was begun that was not there before. */
  onBegun?(): void;
  /** Told of what is to be charged for it, once. */
  onCharged?(work: BulkWork): void;
}

export interface Begun {
  kind: 'job' | 'batch';
  asker: Asker;
  /** Of what was asked: the same idempotency key with another one is refused. */
  asked: unknown;
  /**
   * Made only where the job is not there already. What it puts into the store is kept apart by `digest`, of what was asked: another
   * request under the same key may be making its own at this moment.
   */
  make(named: Named, digest: string): Promise<BulkJob>;
}

export interface States {
  open(id: string): JobFolder;
  begin(begun: Begun): Promise<JobState>;
  /** Throws a CoreError where there is none of that kind that its asker may see. */
  find(id: string, owner: Owner, isKind: (state: JobState) => boolean): Promise<JobState>;
  /** The state of a job, after it was written down that the job failed, where that was not noticed before. */
  notice(id: string): Promise<JobState | undefined>;
  /** The newest first. Throws a CoreError where there is none of the id `after`. */
  page(kind: Begun['kind'], owner: Owner, asked: PageQuery): Promise<Paged<JobState>>;
  cancel(state: JobState): Promise<JobState>;
}

/** Folders that are kept open, with the marks that were read in them. */
const FOLDERS = 64;

export function createStates({ store, runner, onEnd, onProblem }: ServiceOptions): States {
  const folders = new Map<string, JobFolder>();
  const open = (id: string): JobFolder => {
    const folder = folders.get(id) ?? openJobFolder(store, bulkFolder(id));
    // Written again, it is the newest one; the oldest goes.
    folders.delete(id);
    folders.set(id, folder);
    const [oldest] = folders.keys();
    if (folders.size > FOLDERS && oldest !== undefined) folders.delete(oldest);
    return folder;
  };
  /** Undefined where there is no job of that id, or it is not an id; whatever else goes wrong is thrown. */
  const stateOf = async (id: string): Promise<JobState | undefined> =>
    BulkJobId.safeParse(id).success ? readState(open(id)) : undefined;
  /** The same state where nothing has ended. */
  const noticeEnd = async (state: JobState): Promise<JobState> => {
    const { id } = state.job;
    const failure = isOpen(state) ? await runner.failure?.(state) : undefined;
    if (!failure) return state;
    await open(id).stop(stopOf(id, 'failed', failure));
    return required(await stateOf(id));
  };
  const isOpen = (state: JobState): boolean => !isFinal(statusOf(state, Date.now()));
  /** Before anything runs, so that the caller learns what the job takes and all of it is held against a quota. A job that cannot be planned has failed. */
  const plan = async (job: BulkJob): Promise<void> => {
    try {
      await planJob(open(job.id), job, runner.planning);
    } catch (error) {
      const isBeyondBudget = error instanceof CoreError && error.code === 'quota_exceeded';
      if (!(error instanceof UserError) && !isBeyondBudget) throw error;
      await open(job.id).stop(stopOf(job.id, 'failed', { message: error.message, shard: null }));
      onEnd?.(job.id);
      // The caller is still waiting, and is told.
      if (isBeyondBudget) throw error;
    }
  };

  return {
    open,
    async begin({ kind, asker, asked, make }) {
      const { owner, idempotencyKey } = asker;
      const id = idempotencyKey === null ? newId(kind) : await idOfKey(kind, asker);
      const digest = await digestOf(asked);
      const created = Date.now();
      const named = {
        id,
        owner,
        idempotency_key: idempotencyKey,
        asked: digest,
        created_at: new Date(created).toISOString(),
        expires_at: new Date(created + BULK_LIMITS.hours * 3_600_000).toISOString(),
      };
      const before = await stateOf(id);
      let isNew = false;
      if (!before) {
        const job = await make(named, digest);
        if (asker.left) await keepBudget(open(id), id, asker.left);
        // Before the job: one that is there is listed.
        await store.put(ownedKey('jobs', job), new Uint8Array());
        isNew = await open(id).begin(job);
      }
      const state = before ?? required(await stateOf(id));
      if (state.job.asked !== digest) {
        const message = 'The Idempotency-Key was used for another request before: send a new one, or the same request.';
        throw new CoreError('invalid_request', message);
      }
      // Also a job that was there: the process that began it may have been stopped before it submitted it.
      if (!isOpen(state)) return state;
      try {
        await plan(state.job);
        await runner.submit(id);
      } catch (error) {
        // Without a key it cannot be asked for a second time.
        if (idempotencyKey === null)
          await open(id).stop(stopOf(id, 'failed', { message: reasonOf(error), shard: null }));
        throw error;
      }
      const begun = required(await stateOf(id));
      if (isNew) asker.onBegun?.();
      const charge = begun.stop ? undefined : await takeCharge(open(id));
      if (charge) asker.onCharged?.(charge);
      return begun;
    },
    async find(id, owner, isKind) {
      const state = await stateOf(id).catch(asNone(onProblem));
      if (!state || state.job.owner !== owner || !isKind(state))
        throw new CoreError('not_found', `There is nothing of the id ${quoted(id)} here.`, { param: 'id' });
      const noticed = await noticeEnd(state);
      if (noticed !== state) onEnd?.(id);
      return noticed;
    },
    async notice(id) {
      const state = await stateOf(id);
      return state && noticeEnd(state);
    },
    page(kind, owner, asked) {
      return pageOf(store, ownedPrefix('jobs', kind, owner), {
        asked,
        read: stateOf,
        keyOf: ({ job }) => ownedKey('jobs', job),
        onProblem,
      });
    },
    async cancel(state) {
      const { id } = state.job;
      if (!isOpen(state)) return state;
      await open(id).stop(stopOf(id, 'cancelled', { message: CANCELLED, shard: null }));
      await runner.cancel(id);
      onEnd?.(id);
      return required(await stateOf(id));
    },
  };
}

export async function readState(folder: JobFolder): Promise<JobState | undefined> {
  const job = await folder.job();
  if (!job) return undefined;
  const [plan, stop, done] = await Promise.all([folder.plan(), folder.stopped(), folder.allDone()]);
  return { job, plan, stop, done };
}

/** Ids of all jobs in a store. */
export async function jobsIn(store: Pick<ObjectStore, 'list'>): Promise<string[]> {
  const keys = await store.list(`${PREFIXES.jobs}/`);
  return [...new Set(keys.flatMap(({ key }) => jobOfKey(key) ?? []))];
}

export interface Paged<T> {
  /** The newest first. */
  data: T[];
  /** Whether there are older ones. */
  hasMore: boolean;
}

export interface PageOptions<T> {
  asked: PageQuery;
  /** Undefined where there is none of that id any more. */
  read(id: string): Promise<T | undefined>;
  /** Of what was listed before, to go on behind it (default `read`): who deletes what a page names asks for the next one. */
  readBefore?(id: string): Promise<T | undefined>;
  /** Where it is listed. */
  keyOf(value: T): string;
  onProblem?: ((sentence: string) => void) | undefined;
}

/**
 * A page of an owner's list. Entries whose job was never written, or was written at another time, or cannot be read, such as one of
 * another version, are passed over: they must not keep the others from being seen.
 */
export async function pageOf<T>(
  store: Pick<ObjectStore, 'list'>,
  prefix: string,
  { asked: { after, limit = PAGE_ITEMS.normal }, read, readBefore = read, keyOf, onProblem }: PageOptions<T>,
): Promise<Paged<T>> {
  const most = Math.min(limit, PAGE_ITEMS.most);
  const found: T[] = [];
  let last = after === undefined ? undefined : await placeOf(after);
  while (found.length <= most) {
    const wanted = most + 1 - found.length;
    const entries = await store.list(prefix, { after: last, most: wanted });
    const values = await Promise.all(
      entries.map(async ({ key }) => {
        const value = await read(ownedId(key)).catch(asNone(onProblem));
        return value !== undefined && keyOf(value) === key ? [value] : [];
      }),
    );
    found.push(...values.flat());
    if (entries.length < wanted) break;
    last = entries.at(-1)?.key;
  }
  return { data: found.slice(0, most), hasMore: found.length > most };

  async function placeOf(id: string): Promise<string> {
    const value = await readBefore(id).catch(asNone(onProblem));
    const key = value === undefined ? '' : keyOf(value);
    if (key.startsWith(prefix)) return key;
    throw new CoreError('not_found', `There is nothing of the id ${quoted(id)} in this list.`, {
      param: 'after',
    });
  }
}

/** The document that says how a job ended before it was done. */
export function stopOf(
  job: string,
  status: 'cancelled' | 'failed',
  { message, shard }: { message: string; shard: number | null },
): BulkStop {
  return { schema_version: SCHEMA_VERSION, job, status, at: new Date().toISOString(), message, shard };
}

function required(state: JobState | undefined): JobState {
  if (!state) throw new Error('a job that was just written cannot be read');
  return state;
}

async function idOfKey(kind: string, { owner, idempotencyKey }: Asker): Promise<string> {
  return `${kind}_${hexOf(await digestOf([kind, owner, idempotencyKey])).slice(0, 24)}`;
}
