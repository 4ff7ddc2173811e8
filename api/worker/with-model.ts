// Runs a use case of the core for a request: with the current model, admitted, its usage noted.
import type { Usage } from '../../contracts/src/api/embed.ts';
import type { Engines } from '../core/embed.ts';
import type { VectorCache } from '../core/encode/cache.ts';
import type { Model } from '../core/model.ts';
import type { Call, RequestRecord } from './dependencies.ts';
import { traceHeaders } from './http/trace.ts';

/** `work` may answer with a `model` id and `usage`, which go into the request's record. */
export async function withModel<T extends object>(
  { request, deps: { provider, images, admission, cache }, record }: Call,
  work: (model: Model, engines: Engines) => Promise<T>,
): Promise<T> {
  const { signal } = request;
  const trace = { ...traceHeaders(record.trace), 'x-request-id': record.requestId };
  const engines: Engines = {
    images: (files, space, options) => images(files, space, { onError: 'fail', ...options, trace }),
    admit: admission(signal),
    cache: cache && mayStore(request) ? noting(cache, record) : undefined,
  };
  const output: T & { model?: string; usage?: Usage; pixels?: number } = await provider.use(
    (model) => work(model, engines),
    { signal },
  );
  if (output.model) record.model = output.model;
  record.tokens += output.usage?.prompt_tokens ?? 0;
  record.images += output.usage?.images ?? 0;
  if (output.pixels) record.pixels = (record.pixels ?? 0) + output.pixels;
  return output;
}

/** `Cache-Control: no-cache` and `no-store`: the request is computed and leaves nothing. */
function mayStore({ headers }: Request): boolean {
  return !/\bno-(cache|store)\b/i.test(headers.get('cache-control') ?? '');
}

/** The same cache; what it knew is noted and told in the answer. */
function noting(cache: VectorCache, record: RequestRecord): VectorCache {
  let [known, unknown] = [0, 0];
  return {
    async through(keys, compute, options) {
      const cached = await cache.through(keys, compute, options);
      known += cached.stored.size;
      unknown += cached.outcomes.size - cached.stored.size;
      const partial = known > 0 ? 'partial' : 'miss';
      record.cache = unknown === 0 ? 'hit' : partial;
      record.headers['X-Cache'] = record.cache;
      return cached;
    },
  };
}
