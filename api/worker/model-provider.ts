// Provides the model that requests are answered with: the embedded one, or the one that a registry's pointer names.
//
// An isolate begins with the embedded model. Its first request polls the pointer and waits for the outcome, including the
// opening of a published model, but only for a while: isolates come and go, and callers would otherwise see two models in
// turn for as long as new ones come. Later polls run behind requests: the old model answers until the new one is verified,
// has reproduced its golden vectors, here or in another isolate, and its images can be encoded.

import type { PlanLimits } from '../../contracts/src/api/limits.ts';
import type { FollowEvent } from '../../contracts/src/events.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { checkGolden } from '../core/golden.ts';
import { choices, type Model } from '../core/model.ts';
import { systemClock } from '../registry/clock.ts';
import { createFollower, type Follower, NotYet, requireName, type UseOptions } from '../registry/follow.ts';
import { type ModelSource, registrySource } from '../registry/read.ts';
import type { ObjectReader } from '../registry/store.ts';
import type { TextEngine } from '../text/engine.ts';
import { openModel } from '../text/open-model.ts';
import { once } from './isolate/once.ts';

/** Asked once per request, so that an implementation may move on to a newer model between two requests. */
export interface ModelProvider {
  /** Runs `work` with the model that is current when it starts. That stays open until `work` ends or `signal` aborts. */
  use<T>(work: (model: Model) => Promise<T>, options?: UseOptions): Promise<T>;
}

/** One model permanently. */
export function provideModel(source: ModelSource, engine: TextEngine, limits?: PlanLimits): ModelProvider {
  const model = once(() => openModel(source, { engine, once, limits }));
  return { use: async (work) => work(await model()) };
}

export interface PublishedModelOptions {
  /** `digest`: that of its manifest file, by which a pointer may name the embedded model too. */
  embedded: { source: ModelSource; digest(): Promise<string> };
  registry: ObjectReader;
  /** Model whose pointer is followed; absent: the embedded model's name. */
  name?: string | undefined;
  /** Between two polls of the pointer. */
  seconds: number;
  engine: TextEngine;
  /** Absent: those of the paid plan. */
  limits?: PlanLimits | undefined;
  /** Lets work go on when the request that began it is answered: `waitUntil`. */
  background(work: Promise<void>): void;
  /** Models that other isolates of this deployment verified; absent: each isolate verifies for itself. */
  proofs?: Proofs | undefined;
  /** Rejects where images of that space cannot be encoded yet. */
  probeImages(space: { id: string; embedDim: number }): Promise<void>;
  log?(event: FollowEvent): void;
}

/** By the digest of a manifest: models that reproduced their golden vectors with this engine. */
export interface Proofs {
  has(manifest: string): Promise<boolean>;
  add(manifest: string): void;
}

/** How long the first requests of an isolate wait for the first poll. */
const FIRST_POLL_MS = 10_000;
const WAIT_MS = 5;

export function providePublishedModel(options: PublishedModelOptions): ModelProvider {
  const { embedded, registry, engine, background, limits, log = logLine } = options;
  const openEmbedded = once(async () => ({
    digest: await embedded.digest(),
    model: await openModel(embedded.source, { engine, once, limits }),
  }));
  let follower: Follower<Model> | undefined;
  let firstUse: number | undefined;

  return {
    async use(work, useOptions) {
      const first = await openEmbedded();
      follower ??= follow(first);
      if (follower.isDue()) background(follower.poll());
      firstUse ??= Date.now();
      while (!follower.hasPolled() && Date.now() - firstUse < FIRST_POLL_MS) await systemClock.sleep(WAIT_MS);
      return follower.use(work, useOptions);
    },
  };

  function follow(first: { digest: string; model: Model }): Follower<Model> {
    const name = options.name ?? first.model.manifest.name;
    return createFollower({
      registry,
      name,
      first,
      pollMs: options.seconds * 1000,
      clock: systemClock,
      open: (digest, current) => open(digest, current, name),
      close,
      onCurrent({ digest, model }, { was, milliseconds }) {
        const { version } = model.manifest;
        log({
          event: 'model_current',
          model: name,
          version,
          manifest: digest,
          was: was.manifest.version,
          milliseconds,
        });
      },
      log,
    });
  }

  async function open(digest: string, current: Model, name: string): Promise<Model> {
    const model = await openModel(registrySource(registry, digest), { engine, once, limits });
    try {
      requireName(model.manifest, name);
      await verify({ digest, model }, current);
    } catch (error) {
      await model.close();
      throw error;
    }
    return model;
  }

  /** Images first: the question costs nothing, and while the encoder is not ready no file of the model is read for nothing. */
  async function verify({ digest, model }: { digest: string; model: Model }, current: Model): Promise<void> {
    const { space_id, embed_dim } = model.manifest;
    if (space_id !== current.manifest.space_id) {
      await options.probeImages({ id: space_id, embedDim: embed_dim }).catch((error: unknown) => {
        throw new NotYet(reasonOf(error));
      });
    }
    // Its files never change and each is compared with its digest: what is needed of it is opened when it is.
    if (await options.proofs?.has(digest)) return;
    // One after the other: the weights are released here before the static table comes.
    await model.tokenizer();
    for (const { tier } of choices(model)) await model.encoder(tier);
    await checkGolden(model);
    options.proofs?.add(digest);
  }

  /** The request that closes a model may be cancelled meanwhile; the model is closed all the same. */
  function close(model: Model): Promise<void> {
    const closing = model.close();
    background(closing.catch(() => {}));
    return closing;
  }
}

function logLine(event: FollowEvent): void {
  console.log(JSON.stringify(event));
}
