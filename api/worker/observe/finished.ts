// Where it is told that a request was answered: the log and the platform's data points. Never content.
import type { RequestEvent } from '../../../contracts/src/events.ts';
import type { FinishedRequest, Observer } from '../dependencies.ts';

export function eventOf(request: FinishedRequest): RequestEvent {
  const { requestId, operation, door, method, status, code, ms, model, tokens, images, pixels, key, cache, trace } =
    request;
  return {
    event: 'request',
    request_id: requestId,
    trace_id: trace.traceId,
    span_id: trace.spanId,
    ...(trace.parentId ? { parent_id: trace.parentId } : {}),
    method,
    operation: operation ?? null,
    door,
    status,
    ...(code ? { code } : {}),
    ms,
    ...(model ? { model } : {}),
    tokens,
    images,
    ...(pixels === undefined ? {} : { pixels }),
    ...(key ? { key } : {}),
    ...(cache ? { cache } : {}),
  };
}

/** One structured line per request, which `wrangler tail` shows and log destinations keep. */
export const logRequest: Observer = (request) => console.log(JSON.stringify(eventOf(request)));

/** The part of an Analytics Engine dataset that is used. */
export interface Dataset {
  writeDataPoint(point: { indexes: string[]; blobs: string[]; doubles: number[] }): void;
}

/** Points are sampled by key, so that each key's sums stay right. Blobs and doubles keep their order for good. */
export function pointsTo(dataset: Dataset): Observer {
  return ({ operation, door, status, code, model, key, cache, ms, tokens, images, pixels = 0 }) =>
    dataset.writeDataPoint({
      indexes: [key ?? 'none'],
      blobs: [operation ?? 'none', door, String(status), code ?? '', model ?? '', cache ?? ''],
      doubles: [ms, tokens, images, pixels],
    });
}
