// A request for embeddings that becomes a bulk job: where its caller would rather have one, or its images are too many for an answer.
import type { EmbeddingType, Truncate } from '../../../contracts/src/api/embed.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import type { EmbedJob, JobReport, JobRequest } from '../../../contracts/src/api/tasks/jobs.ts';
import { type BulkLine, LINE_PARTS } from '../../../contracts/src/bulk/lines.ts';
import { WORK_HEADERS } from '../../../contracts/src/bulk/quota.ts';
import { workIn } from '../../../contracts/src/bulk/work.ts';
import { CoreError } from '../../core/errors.ts';
import { type Item, type Part, partsOf } from '../../core/items/items.ts';
import { toBase64 } from '../../core/vectors/base64.ts';
import type { Call, Dependencies } from '../dependencies.ts';
import { readPrefer } from '../http/prefer.ts';
import type { Reply } from '../http/reply.ts';
import { noteRoute } from '../with-model.ts';
import { askJobs, documentOf } from './pass-on.ts';

/** What the request asks for, in its own names, by which options that a job does not have are refused. */
export interface AskedOfJob {
  input: Item[];
  model?: string | undefined;
  dimensions?: number | undefined;
  types?: EmbeddingType[] | undefined;
  truncate?: Truncate | undefined;
}

/** What a job calls the types of a request; types that are absent can be computed from these. */
const TYPES: Partial<Record<EmbeddingType, JobRequest['type']>> = {
  float: 'float32',
  base64: 'float32',
  int8: 'int8',
  ubinary: 'binary',
};

/** How items that only name a file are found, where a job is begun. */
export interface Naming {
  /** Where the job itself reads the one image of an item; undefined: nowhere. */
  uriOf(item: Item): string | undefined;
  /** Puts the bytes of the other files into their places. */
  resolve(items: Item[]): Promise<Item[]>;
}

const NO_NAMES: Naming = { uriOf: () => undefined, resolve: async (items) => items };

/** Begins a job where one is to answer the request; undefined where vectors are to, or an error. */
export async function jobInstead(
  call: Call,
  asked: AskedOfJob,
  { uriOf, resolve }: Naming = NO_NAMES,
): Promise<Reply | undefined> {
  const { request, deps, record } = call;
  const prefer = readPrefer(request.headers);
  const parts = asked.input.flatMap(partsOf);
  const files = parts.flatMap(({ part }) => ('image' in part ? [part.image] : []));
  const isAsked = files.length > 0 || prefer.job === 'asked';
  if (!deps.routeImages || !isAsked || parts.length === 0 || parts.length > LIMITS.items) return undefined;
  const isAllowed = record.scopes?.includes('jobs') ?? false;
  const chosen = deps.routeImages({
    images: files.length,
    bytes: files.reduce((sum, file) => sum + sizeOf(file), 0),
    prefer,
    jobs: deps.jobs && isAllowed ? 'ready' : 'absent',
  });
  if (chosen.route === null && chosen.reason === 'too_many') throw tooMany(files.length, deps.jobs);
  // Without an encoder an answer may come all the same, from the cache.
  if (chosen.route !== 'batch') return undefined;
  const options = optionsOf(asked);
  checkParts(asked.input);
  const items = (await resolve(asked.input)).map((item, index): BulkLine => {
    // Named by its place in the request.
    const [custom_id, uri] = [String(index), uriOf(item)];
    return uri === undefined ? { custom_id, ...lineOf(item) } : { custom_id, uri };
  });
  const report = await beginJob(call, { input: { items }, ...options });
  noteRoute(record, prefer, chosen);
  const json = { ...report, routing: chosen } satisfies EmbedJob;
  return { status: 202, json, headers: { Location: `/v1/jobs/${encodeURIComponent(report.id)}` } };
}

/** What a job takes is counted when it is begun; a repetition under the same Idempotency-Key begins none. */
export async function beginJob(call: Call, asked: unknown): Promise<JobReport> {
  // The service looks at the body's form; what is inside of it counts here.
  const { input } = (asked ?? {}) as { input?: { items?: unknown } | null };
  const work = workIn(input?.items);
  // What was begun under this key costs nothing more; whether it is new knows the service, which holds it against what is left.
  if (!call.request.headers.has('idempotency-key')) call.checkQuota?.(work);
  const response = await askJobs(call, '/v1/jobs', JSON.stringify(asked));
  // What the service has counted is noted already.
  const isCounted = response.headers.has(WORK_HEADERS.images);
  if (response.status === 201 && !isCounted) call.record.images += work.images;
  return documentOf<JobReport>(response);
}

/** Bytes of the file; of base64 nearly. */
function sizeOf(image: string | Uint8Array): number {
  return typeof image === 'string' ? Math.floor((image.length * 3) / 4) : image.length;
}

function optionsOf({ model, dimensions, types = ['float'], truncate = 'end' }: AskedOfJob): Omit<JobRequest, 'input'> {
  const [type, ...others] = new Set(types.map((each) => TYPES[each]));
  if (type === undefined || others.length > 0) {
    const message = `A job writes vectors in one type, ${Object.keys(TYPES).join(', ')}; not ${types.join(' and ')}. ${ELSE}`;
    throw new CoreError('unsupported_type', message, { param: 'types' });
  }
  if (truncate !== 'end') {
    const message = `A job cuts texts at their end; truncate may not be ${truncate}. ${ELSE}`;
    throw new CoreError('invalid_request', message, { param: 'truncate' });
  }
  return { type, ...(model === undefined ? {} : { model }), ...(dimensions === undefined ? {} : { dimensions }) };
}

const ELSE = `Up to ${LIMITS.images} images are answered at once without Prefer: respond-async.`;

function checkParts(input: Item[]): void {
  for (const [index, item] of input.entries()) {
    const { length } = partsOf(item);
    if (length <= LINE_PARTS) continue;
    const message = `An item of a job may have ${LINE_PARTS} parts; item ${index} has ${length}.`;
    throw new CoreError('too_many_items', message, { item: index, param: `input.${index}.content` });
  }
}

type WrittenPart = { text: string } | { image: string };

function lineOf(item: Item): WrittenPart | { content: WrittenPart[] } {
  const content = partsOf(item).map(({ part }) => written(part));
  const [only, ...others] = content;
  return only && others.length === 0 ? only : { content };
}

function written(part: Part): WrittenPart {
  if ('text' in part) return { text: part.text };
  return { image: typeof part.image === 'string' ? part.image : toBase64(part.image) };
}

function tooMany(count: number, jobs: Dependencies['jobs']): CoreError {
  const most = `input may hold ${LIMITS.images} images, parts of items counted; ${count} were sent.`;
  const more = jobs
    ? 'A key that is good for jobs, too, makes a bulk job of them.'
    : 'Bulk jobs, which take more, are not configured here: split the request, or run npm run encode.';
  return new CoreError('too_many_items', `${most} ${more}`, { param: 'input' });
}
