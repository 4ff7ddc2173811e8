// Quotas of bulk jobs: a job is held against what its key has left, charged when it is planned, and gives back what it has not done
// when it ends early (decision 0022).
import { BulkBudget, BulkCharge, COUNTED, LEFT_HEADERS, type Left } from '../../../contracts/src/bulk/quota.ts';
import { addWork, noWork } from '../../../contracts/src/bulk/work.ts';
import type { BulkWork } from '../../../contracts/src/cloud/bulk-estimate.ts';
import { FILES } from '../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../contracts/src/schema-version.ts';
import { CoreError } from '../../core/errors.ts';
import { encodeDocument } from '../../registry/store.ts';
import type { JobFolder } from './folder.ts';

/** As the Worker says it; undefined where nothing is counted. */
export function leftIn(headerOf: (name: string) => string | null): Left | undefined {
  const countIn = (name: string): number | null => {
    const value = headerOf(name);
    return value === null ? null : Number(value);
  };
  const left = { images: countIn(LEFT_HEADERS.images), tokens: countIn(LEFT_HEADERS.tokens) };
  return COUNTED.every((name) => left[name] === null) ? undefined : left;
}

/** Why there is more to embed than that, with both numbers; undefined where there is not. */
export function excessOf(left: Left, work: BulkWork): CoreError | undefined {
  for (const name of COUNTED) {
    const most = left[name];
    if (most === null || work[name] <= most) continue;
    const [wanted, rest] = [work[name], most].map((count) => count.toLocaleString('en-US'));
    const has = `The job has ${name === 'tokens' ? 'about ' : ''}${wanted} ${name}, and its API key may ask for ${rest} more this month`;
    return new CoreError('quota_exceeded', `${has}: send fewer, or ask for a larger quota.`);
  }
  return undefined;
}

/** Why a job may not be begun; undefined where it may. `isOpen`: there are tars or videos, whose contents are not counted. */
export function refusalOf(left: Left, { work, isOpen }: { work: BulkWork; isOpen: boolean }): CoreError | undefined {
  const excess = excessOf(left, work);
  if (excess || !isOpen || left.images === null) return excess;
  const more = left.images.toLocaleString('en-US');
  const message = `How many images a tar holds, or frames a video, is not known before it is read, and the API key of the job may ask for ${more} more this month: send images instead.`;
  return new CoreError('quota_exceeded', message);
}

/** Written before the job: every plan of the job is held against it. */
export async function keepBudget(folder: JobFolder, job: string, left: Left): Promise<void> {
  const budget: BulkBudget = { schema_version: SCHEMA_VERSION, job, ...left };
  await folder.put(FILES.budget, encodeDocument(budget));
}

/** Null where its key has no quota. */
export async function budgetOf(folder: JobFolder): Promise<Left | null> {
  return (await folder.read(FILES.budget, BulkBudget)) ?? null;
}

/** Notes what a job is to be charged, by shard. The first note stays: a second plan of the job must not undo that it was charged. */
export async function noteCharge(folder: JobFolder, job: string, shards: BulkWork[]): Promise<void> {
  const charge: BulkCharge = {
    schema_version: SCHEMA_VERSION,
    job,
    images: shards.map(({ images }) => images),
    tokens: shards.map(({ tokens }) => tokens),
    charged_at: null,
    returned: null,
  };
  await folder.put(FILES.charge, encodeDocument(charge), 'absent');
}

/** What the caller is to be charged now: all of the job, once; undefined where that was done before, or no charge was noted. */
export async function takeCharge(folder: JobFolder, now = Date.now()): Promise<BulkWork | undefined> {
  const taken = await changeCharge(folder, async (charge) => {
    return charge.charged_at === null ? { ...charge, charged_at: new Date(now).toISOString() } : undefined;
  });
  return taken && sumOf(taken, () => true);
}

/** What the caller is given back now of a job that has ended: its unfinished shards, once; undefined where that was done before, or nothing was charged. */
export async function giveBack(folder: JobFolder, now = Date.now()): Promise<BulkWork | undefined> {
  const changed = await changeCharge(folder, async (charge) => {
    if (charge.charged_at === null || charge.returned) return undefined;
    const done = new Set((await folder.allDone()).map(({ shard }) => shard));
    const at = new Date(now).toISOString();
    // A month that is over has no quota any more.
    const isCounted = at.slice(0, 7) === charge.charged_at.slice(0, 7);
    return { ...charge, returned: { ...sumOf(charge, (shard) => isCounted && !done.has(shard)), at } };
  });
  const { images = 0, tokens = 0 } = changed?.returned ?? {};
  return changed && { images, tokens };
}

function sumOf({ images, tokens }: BulkCharge, isCounted: (shard: number) => boolean): BulkWork {
  const sum = noWork();
  for (const [shard, count] of images.entries())
    if (isCounted(shard)) addWork(sum, { images: count, tokens: tokens[shard] ?? 0 });
  return sum;
}

/** Of several callers at a time one changes it; undefined for the others, and where `change` answers undefined. */
async function changeCharge(
  folder: JobFolder,
  change: (charge: BulkCharge) => Promise<BulkCharge | undefined>,
): Promise<BulkCharge | undefined> {
  const object = await folder.get(FILES.charge);
  if (!object) return undefined;
  const changed = await change(BulkCharge.parse(JSON.parse(await object.text())));
  if (!changed) return undefined;
  return (await folder.put(FILES.charge, encodeDocument(changed), { etag: object.etag })) ? changed : undefined;
}
