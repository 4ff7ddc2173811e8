// Photos on their way in: made ready and embedded in requests within the limits, with progress, a stop, and no name lost.
import { serviceLimits } from '../service/models.js';
import { isTemporary, patiently, request, ServiceError, toVector } from '../service/requests.js';
import { fingerprint } from './fingerprint.js';
import { prepare } from './photo-file.js';
import { Refusal, refusalOf } from './reasons.js';
import { store } from './store.js';

/** @typedef {import('./store.js').Photo} Photo */
/** @typedef {{file: Blob, name: string, isSample?: boolean, place?: number}} Source */
/** @typedef {Source & {refusal: Refusal}} Failure */

/** Requests at a time: one is computed while the next ones are made ready. */
const LANES = 3;
/** Photos of a request at most, so that progress is seen; the service's limit where that is lower. */
const BATCH = 16;
/** A request should not take longer: a slow encoder gets fewer photos at a time, well before its deadline. */
const REQUEST_MS = 10_000;
/** Fewer would not be faster: a request waits for others, too. */
const FEWEST = 4;
/** A form's own words around its files. */
const FORM_BYTES = 64 * 1024;

/** @type {Source[]} */
const queue = [];
/** One for each file, however often it failed. @type {Map<string, Failure>} */
const failures = new Map();
let lanes = 0;
let stopping = new AbortController();
/** Nobody asked for them: nobody is told that they came. */
let isOfSamples = false;
/** Of a request, by how long the last ones took. */
let batchSize = BATCH / 2;
const progress = { total: 0, done: 0, read: 0, twice: 0, started: 0 };
/** Requests that were told to come again, after how many seconds. @type {Map<Ready[], number>} */
const waits = new Map();
/** @type {Set<string>} keys of files that are under way */
const underWay = new Set();
let changed = () => {};

export const intake = {
  /** @param {() => void} listener */
  subscribe(listener) {
    changed = listener;
  },
  state: () => ({
    ...progress,
    isOfSamples,
    waits: Math.max(0, ...waits.values()),
    isRunning: lanes > 0,
    failures: [...failures.values()],
  }),

  /** @param {Source[]} sources */
  add(sources) {
    if (sources.length === 0) return;
    // What was stopped ends first: it would take these with it.
    if (lanes > 0 && stopping.signal.aborted) return void setTimeout(() => this.add(sources), 50);
    if (lanes === 0) {
      Object.assign(progress, { total: 0, done: 0, read: 0, twice: 0, started: performance.now() });
      stopping = new AbortController();
    }
    isOfSamples = (lanes === 0 || isOfSamples) && sources.every(({ isSample }) => isSample);
    progress.total += sources.length;
    for (const source of sources) source.place ??= store.newPlace();
    queue.push(...sources);
    while (lanes < LANES) {
      lanes += 1;
      void lane();
    }
    changed();
  },

  stop() {
    stopping.abort();
  },

  /** Once more, what may go well now. */
  retry() {
    const again = [...failures].filter(([, { refusal }]) => refusal.canRetry);
    for (const [place] of again) failures.delete(place);
    this.add(again.map(([, failure]) => failure));
  },

  forget() {
    failures.clear();
    changed();
  },

  /** Photos whose vectors are of a model that the server no longer has. */
  readAgain() {
    const stale = store.all().filter(({ vector }) => !vector);
    store.remove(stale);
    this.add(stale);
  },
};

async function lane() {
  const { signal } = stopping;
  try {
    const limits = await serviceLimits();
    while (queue.length > 0) {
      signal.throwIfAborted();
      await send(await nextBatch(limits, signal), signal);
    }
  } catch (error) {
    // Nobody answers, or somebody stopped: what is left is listed, not lost.
    const refusal = refusalFor(error, signal);
    for (const source of queue.splice(0)) fail(source, refusal);
  }
  lanes -= 1;
  changed();
}

/** @typedef {{source: Source, photo: Photo, sent: Blob}} Ready */

/** As many photos as a request may hold. @param {import('../service/models.js').Limits} limits @param {AbortSignal} signal */
async function nextBatch({ images, items, image_bytes, body_bytes }, signal) {
  const most = Math.min(batchSize, images, items);
  const mostBytes = Math.min(image_bytes, body_bytes - FORM_BYTES);
  /** @type {Ready[]} */
  const batch = [];
  let bytes = FORM_BYTES;
  while (batch.length < most && (batch.length === 0 || bytes + mostBytes <= body_bytes) && !signal.aborted) {
    const source = queue.shift();
    if (!source) break;
    const ready = await makeReady(source, mostBytes);
    if (!ready) continue;
    batch.push(ready);
    bytes += ready.sent.size;
  }
  return batch;
}

/** Undefined where it is here already, or is no photo. @param {Source} source @param {number} mostBytes @returns {Promise<Ready | undefined>} */
async function makeReady(source, mostBytes) {
  const { file, name, place, isSample = false } = source;
  /** @type {string | undefined} */
  let key;
  try {
    const read = await fingerprint(file).catch(() => {
      // Moved or deleted since it was chosen.
      throw new Refusal('unreadable');
    });
    if (store.has(read.key) || underWay.has(read.key)) {
      progress.twice += 1;
      progress.done += 1;
      return undefined;
    }
    key = read.key;
    underWay.add(key);
    const { sent, shown, width, height } = await prepare(file, read.first, mostBytes);
    return { source, sent, photo: store.add({ name, file, place, key: read.key, shown, width, height, isSample }) };
  } catch (error) {
    fail(source, refusalOf(error));
    return undefined;
  } finally {
    if (key) underWay.delete(key);
    changed();
  }
}

/** @param {Ready[]} batch @param {AbortSignal} signal */
async function send(batch, signal) {
  if (batch.length === 0) return;
  const form = new FormData();
  for (const { sent } of batch) form.append('image', sent, 'photo');
  form.append('types', 'base64');
  form.append('on_error', 'partial');
  const onWait = (/** @type {number} */ seconds) => {
    waits.set(batch, seconds);
    changed();
  };
  const started = performance.now();
  try {
    const { data, space_id } = await patiently(() => embed(form, signal), { signal, onWait });
    const fitting = Math.floor((batch.length * REQUEST_MS) / (performance.now() - started));
    batchSize = Math.max(FEWEST, Math.min(BATCH, fitting, 2 * batchSize));
    for (const [index, ready] of batch.entries()) settle(ready, data[index], space_id);
  } catch (error) {
    const refusal = refusalFor(error, signal);
    for (const { photo, source } of batch) fail(source, refusal, photo);
    // What nobody answers now, nobody will answer for the rest, the other lane's included.
    if (refusal.canRetry || refusal.code === 'not_configured') stopping.abort(error);
  } finally {
    waits.delete(batch);
    changed();
  }
}

/** An answer in which every photo failed for a while only is a refusal of all. @param {FormData} form @param {AbortSignal} signal */
async function embed(form, signal) {
  const answer = await request('/embed', { body: form, signal });
  const [first] = answer.data;
  const isRefused = answer.data.every((/** @type {any} */ { error }) => error && isTemporary(error.code));
  if (isRefused) throw new ServiceError(first.error.code, first.error.message, 1);
  return answer;
}

/** @param {Ready} ready @param {{embedding?: string, error?: {code: string, message: string}} | undefined} item @param {string} space */
function settle({ photo, source }, item, space) {
  if (!item?.embedding) {
    return fail(
      source,
      new Refusal(item?.error?.code ?? 'failed', item?.error?.message ?? 'The server left it out.'),
      photo,
    );
  }
  progress.done += 1;
  progress.read += 1;
  // Somebody may have removed it meanwhile.
  if (store.get(photo.id)) store.setVector(photo, toVector(item.embedding), space);
}

/** @param {Source} source @param {Refusal} refusal @param {Photo} [photo] that is shown already */
function fail({ file, name, isSample = false }, refusal, photo) {
  if (photo) store.remove([photo]);
  progress.done += 1;
  const changedAt = file instanceof File ? file.lastModified : 0;
  failures.set([name, file.size, changedAt].join('/'), { file, name, isSample, refusal });
}

/** What was aborted for a reason has that reason; else somebody stopped it. @param {unknown} error @param {AbortSignal} signal */
function refusalFor(error, { aborted, reason }) {
  if (!aborted) return refusalOf(error);
  return reason instanceof ServiceError ? refusalOf(reason) : new Refusal('stopped');
}
