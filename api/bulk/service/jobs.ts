// Bulk jobs as a service: asked for, listed, followed and cancelled by whoever owns them.
import { type JobList, type JobReport, JobRequest } from '../../../contracts/src/api/tasks/jobs.ts';
import { BULK_LIMITS, type BulkInput, type BulkJob } from '../../../contracts/src/bulk/job.ts';
import { bulkFolder, bulkInlineFolder, FILES, fileIn, hexOf } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { CoreError } from '../../core/errors.ts';
import { parseRequest } from '../../core/validation.ts';
import type { ObjectStore, StoredObject } from '../../registry/store.ts';
import { sha256Of } from '../../registry/stores/hash.ts';
import { type CurrentModel, jobOf, type Named, newId } from '../ask.ts';
import { type JobFolder, openJobFolder } from '../folder.ts';
import { linesOf } from '../outputs/jsonl.ts';
import { isBelow, placesOf } from '../places.ts';
import { type FileService, linesUri, type Owner } from './files.ts';
import { jobsIn, type Runner, readState } from './runner.ts';
import { isFinal, type JobState, reportOf, statusOf } from './status.ts';

export interface ServiceOptions {
  store: ObjectStore;
  runner: Runner;
  /** Places that inputs and their lines may name. */
  sources: string[];
  current(): Promise<CurrentModel>;
}

export interface Asker {
  owner: Owner;
  /** The header `Idempotency-Key`. */
  idempotencyKey: string | null;
}

export interface JobService {
  create(body: unknown, asker: Asker): Promise<JobReport>;
  list(owner: Owner): Promise<JobList>;
  get(id: string, owner: Owner): Promise<JobReport>;
  cancel(id: string, owner: Owner): Promise<JobReport>;
  file(id: string, name: string, owner: Owner): Promise<StoredObject>;
}

/** What jobs and batches have in common. */
export interface Begun {
  kind: 'job' | 'batch';
  asker: Asker;
  /** Of what was asked: the same idempotency key with another one is refused. */
  asked: unknown;
  /** Made only where the job is not there already. */
  make(named: Named): Promise<BulkJob>;
}

export function createJobs(options: ServiceOptions, files: FileService): JobService & { states: States } {
  const states = createStates(options);
  const isJob = ({ job }: JobState): boolean => !('endpoint' in job.output);
  const report = (state: JobState): JobReport => reportOf(state, Date.now());

  async function inputOf(asked: JobRequest['input'], id: string, owner: Owner): Promise<BulkInput> {
    const { store } = options;
    if ('items' in asked) {
      const folder = bulkInlineFolder(id);
      await store.put(fileIn(folder, FILES.lines), linesOf(asked.items));
      return { jsonl: `${store.uri}/${fileIn(folder, FILES.lines)}` };
    }
    if ('file_id' in asked) return { jsonl: linesUri(store, await files.find(asked.file_id, owner)) };
    checkPlaces(asked, options.sources);
    return asked;
  }

  return {
    states,
    async create(body, asker) {
      const asked = parseRequest(JobRequest, body);
      const state = await states.begin({
        kind: 'job',
        asker,
        asked,
        async make(named) {
          const input = await inputOf(asked.input, named.id, asker.owner);
          return jobOf({ ...asked, input, sources: options.sources }, await options.current(), named);
        },
      });
      return report(state);
    },
    async list(owner) {
      return { object: 'list', data: (await states.all(owner)).filter(isJob).map(report) };
    },
    get: async (id, owner) => report(await states.find(id, owner, isJob)),
    cancel: async (id, owner) => report(await states.cancel(await states.find(id, owner, isJob))),
    async file(id, name, owner) {
      const { done } = await states.find(id, owner, isJob);
      const isThere = done.some((mark) => mark.files.some(({ path }) => path === name));
      const object = isThere ? await states.open(id).get(name) : undefined;
      if (!object)
        throw new CoreError('not_found', `The job ${id} has no file ${name}; its report lists those that there are.`);
      return object;
    },
  };
}

export interface States {
  open(id: string): JobFolder;
  begin(begun: Begun): Promise<JobState>;
  /** Throws a CoreError where there is none of that kind that its asker may see. */
  find(id: string, owner: Owner, isKind: (state: JobState) => boolean): Promise<JobState>;
  /** The newest first. */
  all(owner: Owner): Promise<JobState[]>;
  cancel(state: JobState): Promise<JobState>;
}

function createStates({ store, runner }: ServiceOptions): States {
  const folders = new Map<string, JobFolder>();
  const open = (id: string): JobFolder => {
    const folder = folders.get(id) ?? openJobFolder(store, bulkFolder(id));
    folders.set(id, folder);
    return folder;
  };
  const stateOf = async (id: string): Promise<JobState | undefined> => {
    try {
      return await readState(open(id));
    } catch (error) {
      if (error instanceof TypeError) return undefined;
      throw error;
    }
  };

  const states: States = {
    open,
    async begin({ kind, asker, asked, make }) {
      const { owner, idempotencyKey } = asker;
      const id = idempotencyKey === null ? newId(kind) : idOfKey(kind, asker);
      const digest = sha256Of(JSON.stringify(asked));
      const created = Date.now();
      const named = {
        id,
        owner,
        idempotency_key: idempotencyKey,
        asked: digest,
        created_at: new Date(created).toISOString(),
        expires_at: new Date(created + BULK_LIMITS.hours * 3_600_000).toISOString(),
      };
      const before = (await stateOf(id)) ?? ((await open(id).begin(await make(named))) ? undefined : await stateOf(id));
      if (before && before.job.asked !== digest) {
        const message = 'The Idempotency-Key was used for another request before: send a new one, or the same request.';
        throw new CoreError('invalid_request', message);
      }
      if (!before) runner.submit(id);
      return before ?? required(await stateOf(id));
    },
    async find(id, owner, isKind) {
      const state = await stateOf(id);
      if (state && state.job.owner === owner && isKind(state)) return state;
      throw new CoreError('not_found', `There is nothing of the id ${JSON.stringify(id)} here.`, { param: 'id' });
    },
    async all(owner) {
      const read = await Promise.all((await jobsIn(store)).map(stateOf));
      return read
        .flatMap((state) => (state?.job.owner === owner ? [state] : []))
        .sort((a, b) => (a.job.created_at < b.job.created_at ? 1 : -1));
    },
    async cancel(state) {
      const { id } = state.job;
      if (isFinal(statusOf(state, Date.now()))) return state;
      const at = new Date().toISOString();
      const message = 'It was cancelled.';
      await open(id).stop({ schema_version: SCHEMA_VERSION, job: id, status: 'cancelled', at, message, shard: null });
      runner.cancel(id);
      return required(await stateOf(id));
    },
  };
  return states;
}

function required(state: JobState | undefined): JobState {
  if (!state) throw new Error('a job that was just written cannot be read');
  return state;
}

function idOfKey(kind: string, { owner, idempotencyKey }: Asker): string {
  return `${kind}_${hexOf(sha256Of(JSON.stringify([kind, owner, idempotencyKey]))).slice(0, 24)}`;
}

/** Over HTTP nobody may name a place that the service was not told of: it reads what its caller may not. */
function checkPlaces(input: BulkInput, sources: string[]): void {
  const outside = placesOf(input).find((place) => !sources.some((source) => isBelow(place, source)));
  if (outside === undefined) return;
  const known =
    sources.length > 0
      ? `it may read ${sources.join(', ')}`
      : 'it may read no place; npm start -- --job-source FOLDER names one';
  const message = `This service may not read ${outside}: ${known}. Send items or a file instead.`;
  throw new CoreError('invalid_request', message, { param: 'input' });
}
