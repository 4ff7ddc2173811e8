// Follows a model registry: moves to the model that its pointer names, between two requests and once it is proven.
//
// An isolate begins with the embedded model. Its first request makes it look at the pointer and waits for the outcome, a
// published model's opening included, but only so long: isolates come and go, and callers would else see a mixture of two
// models for as long as new ones come. Later looks run behind requests, and the old model answers until the new one is
// verified, has reproduced its golden vectors and its images can be encoded. At most two models are open at any time.

import { checkGolden } from '../core/golden.ts';
import type { Model } from '../core/model.ts';
import { type ModelSource, readPointer, readRelease, registrySource } from '../registry/read.ts';
import { createRetries } from '../registry/retries.ts';
import type { ObjectReader } from '../registry/store.ts';
import type { TextEngine } from '../text/engine.ts';
import { lazily } from './isolate/lazily.ts';
import { createLease, sleep, type Turn } from './isolate/lease.ts';
import { openModel, type Registry } from './model-provider.ts';

export interface FollowOptions {
  /** `digest`: that of its manifest file, by which a pointer may name the embedded model too. */
  embedded: { source: ModelSource; digest(): Promise<string> };
  /** The registry. */
  store: ObjectReader;
  /** Model whose pointer is followed; absent: the embedded model's name. */
  name?: string | undefined;
  /** Between two looks at the pointer. */
  seconds: number;
  engine: TextEngine;
  /** Lets work go on when the request that began it is answered: `waitUntil`. */
  background(work: Promise<void>): void;
  /** Rejects where images of that space cannot be encoded yet. */
  proveImages(space: { id: string; embedDim: number }): Promise<void>;
  log?(event: FollowEvent): void;
}

export type FollowEvent =
  | { event: 'model_current'; model: string; version: string; manifest: string; was: string; milliseconds: number }
  | { event: 'model_refused' | 'model_waits'; manifest: string; reason: string }
  | { event: 'registry_unreadable' | 'model_not_closed'; reason: string };

interface Held {
  digest: string;
  model: Model;
  users: Set<{ since: number }>;
}

/** How long the first requests of an isolate wait for the first look. */
const FIRST_LOOK_MS = 10_000;
/** Longer than reading and opening a model takes; Cloudflare ends work behind an answered request after 30 seconds. */
const LOOK_MS = 60_000;
/** Longer than any request takes: one that was cancelled never says that it has ended. */
const REQUEST_MS = 600_000;
const POLL_MS = 5;
/** Releases that a new isolate tries when it can use none: the older isolates kept one of these. */
const RELEASES = 3;

export function followRegistry(options: FollowOptions): Registry {
  const { embedded, store, seconds, engine, log = logLine } = options;
  const lookLease = createLease(LOOK_MS);
  const retries = createRetries(seconds * 1000);
  const waiting = new Set<string>();
  const openEmbedded = lazily(async () => hold(await embedded.digest(), await openModel(embedded.source, engine)));
  let current: Held | undefined;
  let retired: Held | undefined;
  /** Whether `current` was named by the registry: another model must then not be tried because a newer one fails. */
  let isFollowed = false;
  let lookedAt = Number.NEGATIVE_INFINITY;
  let firstUse: number | undefined;
  let hasLooked = false;
  let isUnreadable = false;

  return {
    async use(work) {
      const start = await openEmbedded();
      current ??= start;
      lookWhenDue(start);
      firstUse ??= Date.now();
      while (!hasLooked && Date.now() - firstUse < FIRST_LOOK_MS) await sleep(POLL_MS);
      const held = current;
      const user = { since: Date.now() };
      held.users.add(user);
      try {
        return await work(held.model);
      } finally {
        held.users.delete(user);
        await closeRetired();
      }
    },
  };

  function lookWhenDue(start: Held): void {
    if (Date.now() - lookedAt < seconds * 1000) return;
    const turn = lookLease.take();
    if (turn) options.background(lookOnce(start, turn));
  }

  async function lookOnce(start: Held, turn: Turn): Promise<void> {
    try {
      await look(start, turn);
      isUnreadable = false;
    } catch (error) {
      if (!isUnreadable) log({ event: 'registry_unreadable', reason: reasonOf(error) });
      isUnreadable = true;
    }
    lookedAt = Date.now();
    hasLooked = true;
    turn.end();
  }

  async function look(start: Held, turn: Turn): Promise<void> {
    const pointer = (await readPointer(store, options.name ?? start.model.manifest.name))?.pointer;
    if (!pointer || (await moveTo(pointer.manifest, start, turn))) return;
    let before: string | null = pointer.release;
    for (let tried = 1; tried < RELEASES && !isFollowed && before; tried++) {
      before = (await readRelease(store, before)).previous;
      if (before && (await moveTo((await readRelease(store, before)).manifest, start, turn))) return;
    }
  }

  /** True when that model is current, before or now. */
  async function moveTo(digest: string, start: Held, turn: Turn): Promise<boolean> {
    const from = current ?? start;
    if (from.digest === digest) {
      isFollowed = true;
      return true;
    }
    await closeRetired();
    // Still open for a request that began with it: gone back to at once.
    if (retired?.digest === digest) return replace(from, retired, Date.now());
    if (retired || !retries.isDue(digest)) return false;
    const began = Date.now();
    try {
      const next = await prepare(digest, from, start);
      if (turn.isMine()) return replace(from, next, began);
      await next.model.close();
      return false;
    } catch (error) {
      const reason = reasonOf(error);
      if (!(error instanceof NotYet)) {
        if (retries.failed(digest)) log({ event: 'model_refused', manifest: digest, reason });
      } else if (!waiting.has(digest)) {
        waiting.add(digest);
        log({ event: 'model_waits', manifest: digest, reason });
      }
      return false;
    }
  }

  async function replace(from: Held, next: Held, began: number): Promise<true> {
    [current, retired, isFollowed] = [next, from, true];
    const { name, version } = next.model.manifest;
    const was = from.model.manifest.version;
    const milliseconds = Date.now() - began;
    log({ event: 'model_current', model: name, version, manifest: next.digest, was, milliseconds });
    await closeRetired();
    return true;
  }

  async function prepare(digest: string, from: Held, start: Held): Promise<Held> {
    const model = await openModel(registrySource(store, digest), engine);
    try {
      const name = options.name ?? start.model.manifest.name;
      if (model.manifest.name !== name) throw new Error(`the manifest is of ${model.manifest.name}, not of ${name}`);
      await prove(model, from.model);
    } catch (error) {
      await model.close();
      throw error;
    }
    return hold(digest, model);
  }

  /** Images first: asking costs nothing, and while the encoder is not ready nothing of the model is read in vain. */
  async function prove(model: Model, from: Model): Promise<void> {
    const { space_id, embed_dim } = model.manifest;
    if (space_id !== from.manifest.space_id) {
      await options.proveImages({ id: space_id, embedDim: embed_dim }).catch((error: unknown) => {
        throw new NotYet(reasonOf(error));
      });
    }
    // One after the other: the weights are gone from here before the static table comes.
    await model.tokenizer();
    await model.student();
    await model.static();
    await checkGolden(model);
  }

  async function closeRetired(): Promise<void> {
    if (!retired) return;
    for (const user of retired.users) if (Date.now() - user.since > REQUEST_MS) retired.users.delete(user);
    if (retired.users.size > 0) return;
    const closing = retired;
    retired = undefined;
    await closing.model.close().catch((error: unknown) => log({ event: 'model_not_closed', reason: reasonOf(error) }));
  }
}

/** Nothing is wrong with the model: it is asked again at the next look. */
class NotYet extends Error {}

function hold(digest: string, model: Model): Held {
  return { digest, model, users: new Set() };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function logLine(event: FollowEvent): void {
  console.log(JSON.stringify(event));
}
