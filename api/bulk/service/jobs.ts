// Bulk jobs as a service: asked for, listed, followed and cancelled by their owners.
import { type JobDryRun, type JobList, type JobReport, JobRequest } from '../../../contracts/src/api/tasks/jobs.ts';
import type { PageQuery } from '../../../contracts/src/api/tasks/pages.ts';
import type { BulkInput, BulkWebhook } from '../../../contracts/src/bulk/job.ts';
import { workIn } from '../../../contracts/src/bulk/work.ts';
import {
  bulkFolder,
  bulkInlineFolder,
  bulkWebhookFile,
  FILES,
  fileIn,
  toTellKey,
} from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { errorMember } from '../../core/error-document.ts';
import { ADDRESS, CoreError, shortened } from '../../core/errors.ts';
import { parseRequest } from '../../core/validation.ts';
import { encodeDocument, objectOf } from '../../registry/store.ts';
import { COMMAND, digestOf, jobOf, newId } from './ask.ts';
import { type Content, contentOf } from './files/content.ts';
import { type FileService, inputOfFile, listOf } from './files/files.ts';
import { isBelow, placesOf } from './inputs.ts';
import { encodeLines } from './lines.ts';
import { type Cut, checkMachine, cutJob, forecast, type PlanOptions } from './plan.ts';
import { excessOf, refusalOf } from './quota.ts';
import type { Asker, Owner, ServiceOptions, States } from './states.ts';
import { type JobState, reportOf } from './status.ts';
import { checkWebhook } from './webhook.ts';

export interface JobService {
  create(body: unknown, asker: Asker): Promise<JobReport>;
  /** What would come of it. Nothing is kept, begun or charged. */
  plan(body: unknown, asker: Asker): Promise<JobDryRun>;
  list(owner: Owner, asked: PageQuery): Promise<JobList>;
  get(id: string, owner: Owner): Promise<JobReport>;
  cancel(id: string, owner: Owner): Promise<JobReport>;
  file(id: string, name: string, owner: Owner): Promise<Content>;
}

export function createJobs(options: ServiceOptions, files: FileService, states: States): JobService {
  const isJob = ({ job }: JobState): boolean => !('endpoint' in job.output);
  const report = (state: JobState): JobReport => reportOf(state, Date.now());

  /** `inline`: the folder that items of the request are put into. */
  async function inputOf(asked: JobRequest['input'], inline: string, owner: Owner): Promise<BulkInput> {
    const { store } = options;
    if ('items' in asked) return { jsonl: `${store.uri}/${fileIn(inline, FILES.lines)}` };
    if ('file_id' in asked) return inputOfFile(store, await files.find(asked.file_id, owner, 'input.file_id'));
    checkPlaces(asked, options.places(owner));
    return asked;
  }

  return {
    async create(body, asker) {
      const asked = parseRequest(JobRequest, body);
      checkNames(asked.input);
      checkWebhook(asked.webhook, options.webhookHosts);
      const state = await states.begin({
        kind: 'job',
        asker,
        asked,
        async make(named, digest) {
          checkMachine(asked.machine ?? null, options.runner.planning.machines);
          // What is asked in full is refused at once; what is in files is counted when the job is cut.
          const excess =
            asker.left && 'items' in asked.input ? excessOf(asker.left, workIn(asked.input.items)) : undefined;
          if (excess) throw excess;
          const inline = bulkInlineFolder(named.id, digest);
          const input = await inputOf(asked.input, inline, asker.owner);
          if ('items' in asked.input)
            await options.store.put(fileIn(inline, FILES.lines), encodeLines(asked.input.items));
          if (asked.webhook) {
            const webhook: BulkWebhook = { schema_version: SCHEMA_VERSION, job: named.id, ...asked.webhook };
            await states.open(named.id).put(bulkWebhookFile(digest), encodeDocument(webhook));
            await options.store.put(toTellKey(named), encodeDocument({ job: named.id }));
          }
          return jobOf({ ...asked, input, sources: options.sources(asker.owner) }, await options.current(), named);
        },
      });
      return report(state);
    },
    async plan(body, { owner, left }) {
      const asked = parseRequest(JobRequest, body);
      checkNames(asked.input);
      checkWebhook(asked.webhook, options.webhookHosts);
      const { planning } = options.runner;
      checkMachine(asked.machine ?? null, planning.machines);
      const named = { ...COMMAND, id: newId('job'), created_at: new Date().toISOString() };
      const input = await inputOf(asked.input, bulkInlineFolder(named.id, await digestOf(asked)), owner);
      const job = jobOf({ ...asked, input, sources: [] }, await options.current(), named);
      const { model, output, video } = job;
      const lines = 'items' in asked.input ? encodeLines(asked.input.items) : undefined;
      const open: PlanOptions['open'] = lines ? () => holding(lines) : planning.open;
      const cut = await cutJob({ input, output, video }, { ...planning, open }).catch(refuseInput);
      const refusal = left && refusalOf(left, cut);
      return {
        object: 'dry_run',
        model,
        output,
        ...forecast(cut, job, planning.machines),
        routing: { route: 'batch', reason: 'asked' },
        quota: left ?? null,
        error: refusal ? errorMember(refusal) : null,
      };
    },
    list: async (owner, asked) => listOf(await states.page('job', owner, asked), report),
    get: async (id, owner) => report(await states.find(id, owner, isJob)),
    cancel: async (id, owner) => report(await states.cancel(await states.find(id, owner, isJob))),
    async file(id, name, owner) {
      const { done } = await states.find(id, owner, isJob);
      const found = done.flatMap((mark) => mark.files).find(({ path }) => path === name);
      if (!found)
        throw new CoreError(
          'not_found',
          `The job ${id} has no file ${shortened(name)}; its report lists those that there are.`,
        );
      const { digest, size } = found;
      return contentOf(options.store, digest, [{ key: `${bulkFolder(id)}/${name}`, size }]);
    },
  };
}

/** A place with one file, in memory, whatever its name. */
function holding(bytes: Uint8Array): ReturnType<PlanOptions['open']> {
  return { get: async () => objectOf(bytes), list: async () => [] };
}

/** What the plan of a job says names places whole, as its command does. */
const MOST_SAID = 1000;

/** Refuses an input with which a job would be begun and fail at once. */
function refuseInput(error: unknown): Promise<Cut> {
  if (!(error instanceof UserError)) throw error;
  throw new CoreError('invalid_request', `${shortened(error.message, MOST_SAID)}.`, { param: 'input' });
}

/** Over HTTP only places that the service was started with may be named: it can read what its caller may not. */
function checkPlaces(input: BulkInput, known: string[]): void {
  const outside = placesOf(input).find((place) => !known.some((each) => isBelow(place, each)));
  if (outside === undefined) return;
  const what =
    known.length > 0
      ? `it may read ${known.join(', ')}`
      : 'it may read no place; npm start -- --job-source FOLDER names one';
  const message = `This service may not read ${shortened(outside, ADDRESS)}: ${what}. Send items or a file instead.`;
  throw new CoreError('invalid_request', message, { param: 'input' });
}

/** Whoever reads what came out finds an item by its name. What lies in files is not compared: it may be millions. */
function checkNames(input: JobRequest['input']): void {
  if (!('items' in input)) return;
  const places = new Map<string, number>();
  for (const [index, { custom_id: name }] of input.items.entries()) {
    const first = places.get(name);
    if (first === undefined) places.set(name, index);
    else {
      const message = `input.items.${index} has the custom_id of input.items.${first}: each item needs one of its own.`;
      throw new CoreError('invalid_request', message, { param: `input.items.${index}.custom_id` });
    }
  }
}
