// Runs a use case of the core for a request: with the current model, admitted, its usage noted.
import type { Usage } from '../../contracts/src/api/embed.ts';
import type { RoutingReceipt } from '../../contracts/src/api/encode.ts';
import type { Engines } from '../core/embed.ts';
import type { VectorCache } from '../core/encode/cache.ts';
import type { Preference } from '../core/encode/routing.ts';
import type { Model } from '../core/model.ts';
import type { Call, RequestRecord } from './dependencies.ts';
import { appliedPreference, readPrefer } from './http/prefer.ts';
import { createTiming, type Timing } from './http/timing.ts';
import { traceHeaders } from './http/trace.ts';

/** `work` may answer with a `model` id and `usage`, which go into the request's record. */
export async function withModel<T extends object>(
  { request, deps: { provider, images, admission, cache, isolate }, record, checkQuota }: Call,
  work: (model: Model, engines: Engines) => Promise<T>,
): Promise<T> {
  const { signal } = request;
  const trace = { ...traceHeaders(record.trace), 'x-request-id': record.requestId };
  const timing = createTiming();
  const prefer = readPrefer(request.headers);
  const onRoute = (receipt: RoutingReceipt) => noteRoute(record, prefer, receipt);
  const engines: Engines = {
    images: (files, space, options) =>
      timing.waitFor('encoder', () =>
        images(files, space, { onError: 'fail', ...options, trace, routing: { prefer, onRoute } }),
      ),
    checkQuota,
    admit: admission(signal, (ms) => timing.waited('queue', ms)),
    cache: cache && mayStore(request) ? noting(cache, { record, timing }) : undefined,
  };
  let version = '';
  let output: T & { model?: string; usage?: Usage; pixels?: number };
  try {
    output = await provider.use(
      (model) => {
        version = model.manifest.version;
        return work(model, engines);
      },
      { signal },
    );
  } finally {
    const waits = timing.header();
    if (waits !== undefined) record.headers['Server-Timing'] = waits;
  }
  if (output.model) {
    record.model = output.model;
    const parts = [placeOf(record, timing), `isolate="${isolate}"`, `model="${output.model}"`];
    parts.push(`version="${inHeader(version)}"`);
    record.headers['X-Served-By'] = parts.join('; ');
  }
  record.tokens += output.usage?.prompt_tokens ?? 0;
  record.images += output.usage?.images ?? 0;
  if (output.pixels) record.pixels = (record.pixels ?? 0) + output.pixels;
  return output;
}

/** A version is any text that a person chose: what a quoted value of a header cannot hold is percent-coded. */
function inHeader(version: string): string {
  return version.toWellFormed().replace(/[^\x20-\x7e]+|["\\%]/gu, encodeURIComponent);
}

/** Notes which encoder answers, for the request's log and the headers of its answer. */
export function noteRoute(record: RequestRecord, prefer: Preference, receipt: RoutingReceipt): void {
  record.routing = receipt;
  record.headers['X-Image-Route'] = `${receipt.route}; reason="${receipt.reason}"`;
  const applied = appliedPreference(prefer, receipt.route);
  if (applied !== undefined) record.headers['Preference-Applied'] = applied;
}

/** Where the farthest of the answer's vectors come from. */
function placeOf({ cache }: RequestRecord, timing: Timing): 'edge' | 'encoder' | 'cache' {
  if (timing.has('encoder')) return 'encoder';
  return cache === 'hit' || cache === 'not_modified' ? 'cache' : 'edge';
}

/** `Cache-Control: no-cache` and `no-store`: the request is computed and leaves nothing. */
function mayStore({ headers }: Request): boolean {
  return !/\bno-(cache|store)\b/i.test(headers.get('cache-control') ?? '');
}

/** The same cache; what it knew is noted and told in the answer. */
function noting(cache: VectorCache, { record, timing }: { record: RequestRecord; timing: Timing }): VectorCache {
  let [known, unknown] = [0, 0];
  return {
    async through(keys, compute, options) {
      const cached = await cache.through(keys, compute, { ...options, onWait: timing.waited });
      known += cached.stored.size;
      unknown += cached.outcomes.size - cached.stored.size;
      const partial = known > 0 ? 'partial' : 'miss';
      record.cache = unknown === 0 ? 'hit' : partial;
      record.headers['X-Cache'] = record.cache;
      return cached;
    },
  };
}
