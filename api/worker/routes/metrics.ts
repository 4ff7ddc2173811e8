// GET /metrics: counters of the isolate that happens to answer, for Prometheus.
import { choices } from '../../core/model.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function metricsRoute({ request: { signal }, deps: { provider, metrics } }: Call): Promise<Reply> {
  const model = await provider.use(
    async (current) => {
      const { version, space_id } = current.manifest;
      return { id: choices(current)[0]?.id ?? current.manifest.name, version, space_id };
    },
    { signal },
  );
  return { text: metrics({ model }), headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' } };
}
