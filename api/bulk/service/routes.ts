// Every path about bulk jobs, for both of its hosts: the service of a machine, and the Worker itself.
import { FilePageQuery, type OpenAiBatch } from '../../../contracts/src/api/doors/batches.ts';
import type { Download } from '../../../contracts/src/api/download.ts';
import type { JobReport, JobStatus } from '../../../contracts/src/api/tasks/jobs.ts';
import { PageQuery } from '../../../contracts/src/api/tasks/pages.ts';
import { type Left, RETURNED_HEADERS, WORK_HEADERS } from '../../../contracts/src/bulk/quota.ts';
import type { BulkWork } from '../../../contracts/src/cloud/bulk-estimate.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { ADDRESS, CoreError, shortened } from '../../core/errors.ts';
import { parseRequest } from '../../core/validation.ts';
import { type BatchService, createBatches } from './batches.ts';
import type { Content } from './files/content.ts';
import { type Conditions, download } from './files/download.ts';
import { createFiles, type FileService } from './files/files.ts';
import { createUploads, type UploadService } from './files/uploads.ts';
import { createJobs, type JobService } from './jobs.ts';
import { giveBack, leftIn } from './quota.ts';
import { type Asker, createStates, type ServiceOptions } from './states.ts';
import { type OverdueOptions, tellOverdue } from './webhook.ts';

export interface BulkService {
  files: FileService;
  jobs: JobService;
  batches: BatchService;
  uploads: UploadService;
  /** What a job that ended early has not done, answered once, so that it is given back; undefined where there is nothing to give back. */
  giveBack(id: string): Promise<BulkWork | undefined>;
  /** Tells of ends of the last days that could not be told of before, or were not noticed. To be called every few minutes. */
  tellOverdue(options: OverdueOptions): Promise<void>;
}

export function createBulkService(options: ServiceOptions): BulkService {
  const states = createStates(options);
  const files = createFiles(options);
  return {
    files,
    uploads: createUploads(options, files),
    jobs: createJobs(options, files, states),
    batches: createBatches(options, files, states),
    giveBack: (id) => giveBack(states.open(id)),
    tellOverdue: (telling) => tellOverdue({ store: options.store, states }, telling),
  };
}

export interface Asked {
  method: string;
  /** Of the address, percent signs as they came. */
  pathname: string;
  query: URLSearchParams;
  owner: string | null;
  idempotencyKey: string | null;
  /** Absent: nothing is counted. */
  left?: Left | undefined;
  /** Of a download. */
  conditions: Conditions;
  body(): Promise<Uint8Array>;
}

export interface Received {
  method: string;
  /** Absolute, or from its path on. */
  url: string;
  headerOf(name: string): string | null | undefined;
  body(): Promise<Uint8Array>;
}

/** What a request of the Worker asks for, by its address and its headers. */
export function askedIn({ method, url, headerOf, body }: Received): Asked {
  const { pathname, searchParams: query } = new URL(url, 'http://jobs');
  // A header without a value is one that was not sent.
  const said = (name: string): string | null => headerOf(name) || null;
  return {
    method,
    pathname,
    query,
    owner: said('x-owner'),
    idempotencyKey: said('idempotency-key'),
    left: leftIn(said),
    conditions: { range: said('range'), ifRange: said('if-range'), ifNoneMatch: said('if-none-match') },
    body,
  };
}

/** A document, or a file. `isNew`: the job or batch was begun by this request. `headers` say what was charged just now, or given back. */
export type Answer = { json: object; isNew?: boolean; headers?: Record<string, string> } | Download;

/** Throws a `CoreError` where the request is refused, a path that there is not among them. */
export async function answer(service: BulkService, asked: Asked): Promise<Answer> {
  const { jobs, files, batches, uploads } = service;
  const { owner, idempotencyKey, left, query, method, pathname } = asked;
  const [, version, kind = '', id = '', what, name = ''] = pathname.split('/').map(decodeURIComponent);
  const asker = { owner, idempotencyKey, left };
  const document = async (made: Promise<object>): Promise<Answer> => ({ json: await made });
  const begun = async (create: (body: unknown, asker: Asker) => Promise<object>): Promise<Answer> => {
    const news: { isNew?: true; headers?: Record<string, string> } = {};
    const onBegun = (): void => {
      news.isNew = true;
    };
    const onCharged = (work: BulkWork): void => {
      news.headers = headersOf(WORK_HEADERS, work);
    };
    const json = await create(toJson(await asked.body()), { ...asker, onBegun, onCharged });
    return { json, ...news };
  };
  /** A caller that asks for a job that ended early is given back what the job has not done. */
  const followed = async (found: Promise<JobReport | OpenAiBatch>): Promise<Answer> => {
    const json = await found;
    const returned = ENDED_EARLY.has(json.status) ? await service.giveBack(json.id) : undefined;
    return { json, headers: returned ? headersOf(RETURNED_HEADERS, returned) : {} };
  };
  const file = async (found: Promise<Content>): Promise<Answer> => download(await found, asked.conditions);
  const route = [method, kind, ...(id === '' ? [] : [':id']), ...(what === undefined ? [] : [what])].join(' ');
  switch (version === 'v1' ? route : undefined) {
    case 'POST jobs':
      return query.has('dry_run') ? document(jobs.plan(toJson(await asked.body()), asker)) : begun(jobs.create);
    case 'GET jobs':
      return document(jobs.list(owner, pageIn(PageQuery, query)));
    case 'GET jobs :id':
      return followed(jobs.get(id, owner));
    case 'DELETE jobs :id':
      return followed(jobs.cancel(id, owner));
    case 'GET jobs :id files':
      return file(jobs.file(id, name, owner));
    case 'POST files': {
      const [filename, purpose] = [query.get('filename') ?? '', query.get('purpose') ?? ''];
      return document(files.create({ filename, purpose, bytes: await asked.body() }, owner));
    }
    case 'POST uploads':
      return document(uploads.begin(toJson(await asked.body()), owner));
    case 'POST uploads :id parts':
      return document(uploads.add(id, await asked.body(), owner));
    case 'POST uploads :id complete':
      return document(uploads.complete(id, toJson(await asked.body()), owner));
    case 'POST uploads :id cancel':
      return document(uploads.cancel(id, owner));
    case 'GET files':
      return document(files.list(owner, pageIn(FilePageQuery, query)));
    case 'GET files :id':
      return document(files.get(id, owner));
    case 'GET files :id content':
      return file(files.content(id, owner));
    case 'DELETE files :id':
      return document(files.remove(id, owner));
    case 'POST batches':
      return begun(batches.create);
    case 'GET batches':
      return document(batches.list(owner, pageIn(PageQuery, query)));
    case 'GET batches :id':
      return followed(batches.get(id, owner));
    case 'POST batches :id cancel':
      return followed(batches.cancel(id, owner));
    default:
      throw new CoreError('not_found', `There is no ${method} ${shortened(pathname, ADDRESS)} here.`);
  }
}

const ENDED_EARLY = new Set<string>(['cancelled', 'failed', 'expired'] satisfies JobStatus[]);

function headersOf(headers: Record<keyof BulkWork, string>, { images, tokens }: BulkWork): Record<string, string> {
  return { [headers.images]: String(images), [headers.tokens]: String(tokens) };
}

/** What is said of a page; other names are refused. */
function pageIn(form: typeof PageQuery | typeof FilePageQuery, query: URLSearchParams): PageQuery {
  const { after, limit } = parseRequest(form, Object.fromEntries(query));
  return { after, limit };
}

function toJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
  } catch (error) {
    throw new CoreError('malformed_json', `The body is not JSON: ${reasonOf(error)}`);
  }
}
