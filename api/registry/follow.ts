// Follows the pointer of a model: polls it, opens what it names, swaps, and keeps the old model while that is in use.
//
// A pure state machine. Hosts give it the clock, how a model is opened and closed, and where events go. At most two models
// are open at a time: the current one, and the one before it until the last request that began with it has ended.

import type { FollowEvent } from '../../contracts/src/events.ts';
import type { ModelPointer } from '../../contracts/src/model/pointer.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { createBackoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { RegistryError } from './errors.ts';
import { readPointer, readRelease } from './read.ts';
import type { ObjectReader } from './store.ts';
import { createUses, type Uses } from './uses.ts';

export interface Followed<M> {
  /** Digest of its manifest. */
  digest: string;
  model: M;
}

/** What happened besides a model becoming current. */
export type FollowProblem = Exclude<FollowEvent, { event: 'model_current' }>;

export interface FollowOptions<M> {
  registry: ObjectReader;
  /** Model whose pointer is followed. */
  name: string;
  /** What is served until the registry names another. */
  first: Followed<M>;
  /** Between two polls, and the pause after a model was first refused. */
  pollMs: number;
  clock: Clock;
  /** Reads, verifies and opens a model. Rejects with NotYet where that is worth trying at the next poll. */
  open(digest: string, current: M): Promise<M>;
  close(model: M): Promise<void>;
  onCurrent(next: Followed<M>, change: { was: M; milliseconds: number }): void;
  log(problem: FollowProblem): void;
}

export interface Follower<M> {
  current(): Followed<M>;
  /** Runs `work` with the current model, which stays open until it ends or `signal` aborts. */
  use<T>(work: (model: M) => Promise<T>, options?: UseOptions): Promise<T>;
  /** Whether the pause since the last poll is over and no other poll is at work. */
  isDue(): boolean;
  hasPolled(): boolean;
  /** Polls once, unless another poll is at work; never rejects. `then` runs in the same poll, its errors are logged. */
  poll(then?: (pointer: ModelPointer | undefined) => Promise<void>): Promise<void>;
}

export interface UseOptions {
  /** Of the request that uses the model: aborts when its client is gone. */
  signal?: AbortSignal | undefined;
}

/** Nothing is wrong with the model: it is tried again at the next poll. */
export class NotYet extends Error {}

/** Releases that a host tries when it can use none: hosts that have run longer kept one of these. */
export const RELEASES_TRIED = 3;
/** Longer than reading and opening a model takes. A poll that was cancelled with its request never says that it ended. */
const MAX_POLL_MS = 60_000;

interface LoadedModel<M> extends Followed<M> {
  uses: Uses;
}
/** A poll that has begun. Compared by identity: one that took too long has lost its place to another. */
type Poll = Readonly<{ since: number }>;

export function createFollower<M>(options: FollowOptions<M>): Follower<M> {
  const { registry, name, pollMs, clock, log } = options;
  const backoff = createBackoff({ firstMs: pollMs, now: clock.now });
  const waiting = new Set<string>();
  let current: LoadedModel<M> = loaded(options.first);
  let retired: LoadedModel<M> | undefined;
  /** Whether the registry named the current model. Then no older one is tried because a newer one fails. */
  let isFollowed = false;
  /** The poll at work. */
  let poll: Poll | undefined;
  let lastPollAt = Number.NEGATIVE_INFINITY;
  let hasPolled = false;
  let isUnreadable = false;

  return {
    current: () => current,
    hasPolled: () => hasPolled,
    isDue: () => clock.now() - lastPollAt >= pollMs && !isAtWork(),
    async use(work, { signal } = {}) {
      signal?.throwIfAborted();
      const used = current;
      const end = used.uses.begin(signal);
      try {
        return await work(used.model);
      } finally {
        end();
        await closeRetired();
      }
    },
    async poll(then) {
      if (isAtWork()) return;
      const mine = { since: clock.now() };
      poll = mine;
      try {
        await pollOnce(mine, then);
        isUnreadable = false;
      } catch (error) {
        if (!isUnreadable) log({ event: 'registry_unreadable', reason: reasonOf(error) });
        isUnreadable = true;
      }
      lastPollAt = clock.now();
      hasPolled = true;
      if (poll === mine) poll = undefined;
    },
  };

  function isAtWork(): boolean {
    return poll !== undefined && clock.now() - poll.since <= MAX_POLL_MS;
  }

  async function pollOnce(mine: Poll, then?: (pointer: ModelPointer | undefined) => Promise<void>): Promise<void> {
    const isOld = retired !== undefined;
    const pointer = (await readPointer(registry, name))?.pointer;
    if (pointer !== undefined) await followPointer(pointer, mine);
    await then?.(pointer);
    if (isOld) await makeRoom();
  }

  async function followPointer(pointer: ModelPointer, mine: Poll): Promise<void> {
    if (await moveTo(pointer.manifest, mine)) return;
    let before: string | null = pointer.release;
    for (let tried = 1; tried < RELEASES_TRIED && !isFollowed && before !== null; tried++) {
      before = (await readRelease(registry, before)).previous;
      if (before !== null && (await moveTo((await readRelease(registry, before)).manifest, mine))) return;
    }
  }

  /** True when that model is current, before or now. */
  async function moveTo(digest: string, mine: Poll): Promise<boolean> {
    // A poll that lost its place to another knows an old pointer.
    if (poll !== mine) return false;
    if (current.digest === digest) {
      isFollowed = true;
      return true;
    }
    const began = clock.now();
    // Still open for a request that began with it: gone back to at once.
    if (retired?.digest === digest) return swap(retired, began);
    if (!backoff.isDue(digest) || !(await makeRoom())) return false;
    try {
      const next = loaded({ digest, model: await options.open(digest, current.model) });
      if (poll === mine) return swap(next, began);
      await close(next);
    } catch (error) {
      const reason = reasonOf(error);
      if (!(error instanceof NotYet)) {
        if (backoff.failed(digest)) log({ event: 'model_refused', manifest: digest, reason });
      } else if (!waiting.has(digest)) {
        waiting.add(digest);
        log({ event: 'model_waits', manifest: digest, reason });
      }
    }
    return false;
  }

  async function swap(next: LoadedModel<M>, began: number): Promise<true> {
    const was = current;
    [current, retired, isFollowed] = [next, was, true];
    options.onCurrent(next, { was: was.model, milliseconds: clock.now() - began });
    await closeRetired();
    return true;
  }

  /** Closes the retired model as soon as no living request uses it. True when there is none any more. */
  async function makeRoom(): Promise<boolean> {
    await closeRetired();
    await retired?.uses.endCancelled();
    await closeRetired();
    return retired === undefined;
  }

  async function closeRetired(): Promise<void> {
    if (!retired?.uses.isEmpty()) return;
    const closing = retired;
    retired = undefined;
    await close(closing);
  }

  async function close({ model }: LoadedModel<M>): Promise<void> {
    await options.close(model).catch((error: unknown) => log({ event: 'model_not_closed', reason: reasonOf(error) }));
  }

  function loaded({ digest, model }: Followed<M>): LoadedModel<M> {
    return { digest, model, uses: createUses(clock) };
  }
}

/** For `open`: a pointer names models of its own name only. */
export function requireName(manifest: { name: string }, name: string): void {
  if (manifest.name !== name) throw new RegistryError(`the manifest is of ${manifest.name}, not of ${name}`);
}
