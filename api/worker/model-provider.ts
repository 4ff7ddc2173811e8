// Provides the model that a request is answered with: here one that never changes, in follow-registry.ts the current one.
import type { Model } from '../core/model.ts';
import type { UseOptions } from '../registry/follow.ts';
import type { ModelSource } from '../registry/read.ts';
import type { TextEngine } from '../text/engine.ts';
import { openModel } from '../text/open-model.ts';
import { lazily } from './isolate/lazily.ts';

/** Asked once per request, so that an implementation may move on to a newer model between two requests. */
export interface ModelProvider {
  /** Runs `work` with the model that is current when it starts, and keeps that model open until it ends or `signal` aborts. */
  use<T>(work: (model: Model) => Promise<T>, options?: UseOptions): Promise<T>;
}

/** One model permanently. */
export function provideModel(source: ModelSource, engine: TextEngine): ModelProvider {
  const model = lazily(() => openModel(source, { engine, once: lazily }));
  return { use: async (work) => work(await model()) };
}
