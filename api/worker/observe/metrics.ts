// Counters of one isolate in Prometheus' text format. https://prometheus.io/docs/instrumenting/exposition_formats/
import type { FinishedRequest, Now } from '../dependencies.ts';

const BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];
/** In no value of a label: those are ids of operations and models, and words of ours. */
const BETWEEN = '\0';

export interface Metrics {
  observe(request: FinishedRequest): void;
  render(now: Now): string;
}

/** Counts by labels, which become text at a scrape only: that takes longer than counting. */
function createCounter(name: string, help: string, labels: string[]) {
  const sums = new Map<string, number>();
  return {
    add(values: (string | number)[], amount = 1): void {
      const key = values.join(BETWEEN);
      sums.set(key, (sums.get(key) ?? 0) + amount);
    },
    lines(): string[] {
      const samples = [...sums].map(([key, sum]) => {
        const values = key.split(BETWEEN);
        return `${name}${written(labels.map((label, index) => [label, values[index] ?? '']))} ${sum}`;
      });
      return [`# HELP ${name} ${help}`, `# TYPE ${name} counter`, ...samples];
    },
  };
}

/** Durations by operation. */
function createHistogram(name: string) {
  /** `counts`: of each bucket alone, and of what is longer than all of them. */
  const observed = new Map<string, { counts: number[]; sum: number }>();
  return {
    add(operation: string, ms: number): void {
      const of = observed.get(operation) ?? { counts: Array.from({ length: BUCKETS_MS.length + 1 }, () => 0), sum: 0 };
      observed.set(operation, of);
      const fits = BUCKETS_MS.findIndex((bound) => ms <= bound);
      const bucket = fits < 0 ? BUCKETS_MS.length : fits;
      of.counts[bucket] = (of.counts[bucket] ?? 0) + 1;
      of.sum += ms;
    },
    lines(): string[] {
      const all = [...observed].map(([operation, { counts, sum }]) => {
        let total = 0;
        const buckets = [...BUCKETS_MS, '+Inf'].map((le, index) => {
          total += counts[index] ?? 0;
          return `${name}_bucket${written(Object.entries({ operation, le }))} ${total}`;
        });
        const labels = written(Object.entries({ operation }));
        return { buckets, sum: `${name}_sum${labels} ${sum}`, count: `${name}_count${labels} ${total}` };
      });
      return [...all.flatMap(({ buckets }) => buckets), ...all.map(({ sum }) => sum), ...all.map(({ count }) => count)];
    },
  };
}

/** `isolate`: a name of the isolate, by which its counters can be told from those of others. */
export function createMetrics(isolate: string): Metrics {
  const requests = createCounter('edge_clip_requests_total', 'Requests answered.', ['operation', 'door', 'status']);
  const tokens = createCounter('edge_clip_tokens_total', 'Tokens of texts that were read.', ['model']);
  const images = createCounter('edge_clip_images_total', 'Images that were embedded.', ['model']);
  const cached = createCounter('edge_clip_cache_requests_total', 'Requests by what the cache knew of them.', [
    'outcome',
  ]);
  const durations = createHistogram('edge_clip_request_duration_milliseconds');

  return {
    observe({ operation = 'none', door, status, model, ms, cache, ...usage }) {
      requests.add([operation, door, status]);
      if (model && usage.tokens > 0) tokens.add([model], usage.tokens);
      if (model && usage.images > 0) images.add([model], usage.images);
      if (cache) cached.add([cache]);
      durations.add(operation, ms);
    },
    render({ model }) {
      const serves = { isolate, model: model.id, version: model.version, space: model.space_id };
      return [
        '# An isolate counts for itself and forgets when it ends. A deployment has many, and each scrape meets any one of them:',
        '# sums over the fleet come from the data points (Analytics Engine) or from the log.',
        '# HELP edge_clip_isolate_info The isolate that answered this scrape, and what it serves.',
        '# TYPE edge_clip_isolate_info gauge',
        `edge_clip_isolate_info${written(Object.entries(serves))} 1`,
        ...[requests, tokens, images, cached].flatMap((counter) => counter.lines()),
        '# HELP edge_clip_request_duration_milliseconds Wall time. On the platform the clock moves with input and output',
        '# only, so that computing counts as nothing there: the platform itself reports processor time.',
        '# TYPE edge_clip_request_duration_milliseconds histogram',
        ...durations.lines(),
        '',
      ].join('\n');
    },
  };
}

function written(labels: [name: string, value: string | number][]): string {
  const escaped = (value: string | number) =>
    String(value).replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
  return `{${labels.map(([name, value]) => `${name}="${escaped(value)}"`).join(',')}}`;
}
