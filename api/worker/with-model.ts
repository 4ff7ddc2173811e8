// Runs a use case of the core for a request: with the current model, admitted, its usage noted.
import type { Usage } from '../../contracts/src/api/embed.ts';
import type { Engines } from '../core/embed.ts';
import type { Model } from '../core/model.ts';
import type { Call } from './dependencies.ts';
import { traceHeaders } from './http/trace.ts';

/** `work` may answer with a `model` id and `usage`, which go into the request's record. */
export async function withModel<T extends object>(
  { request: { signal }, deps: { provider, images, admission }, record }: Call,
  work: (model: Model, engines: Engines) => Promise<T>,
): Promise<T> {
  const trace = { ...traceHeaders(record.trace), 'x-request-id': record.requestId };
  const engines: Engines = {
    images: (files, space, options) => images(files, space, { onError: 'fail', ...options, trace }),
    admit: admission(signal),
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
