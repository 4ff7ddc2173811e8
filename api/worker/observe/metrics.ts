// Counters of one isolate in Prometheus' text format. https://prometheus.io/docs/instrumenting/exposition_formats/
import type { FinishedRequest, Now } from '../dependencies.ts';

const BUCKETS_MS = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];

export interface Metrics {
  observe(request: FinishedRequest): void;
  render(now: Now): string;
}

type Labels = Record<string, string | number>;

/** Sums by labels. */
class Family {
  private readonly sums = new Map<string, number>();

  add(labels: Labels, amount: number): void {
    const key = written(labels);
    this.sums.set(key, (this.sums.get(key) ?? 0) + amount);
  }

  lines(name: string): string[] {
    return [...this.sums].map(([labels, sum]) => `${name}${labels} ${sum}`);
  }
}

/** `isolate`: a name of the isolate, by which its counters can be told from those of others. */
export function createMetrics(isolate: string): Metrics {
  const requests = new Family();
  const tokens = new Family();
  const images = new Family();
  const cached = new Family();
  const buckets = new Family();
  const sums = new Family();
  const counts = new Family();

  return {
    observe({ operation = 'none', door, status, model, ms, cache, ...usage }) {
      requests.add({ operation, door, status }, 1);
      if (model && usage.tokens > 0) tokens.add({ model }, usage.tokens);
      if (model && usage.images > 0) images.add({ model }, usage.images);
      if (cache) cached.add({ outcome: cache }, 1);
      for (const le of BUCKETS_MS) buckets.add({ operation, le }, ms <= le ? 1 : 0);
      buckets.add({ operation, le: '+Inf' }, 1);
      sums.add({ operation }, ms);
      counts.add({ operation }, 1);
    },
    render({ model }) {
      const counter = (name: string, help: string, family: Family) => [
        `# HELP ${name} ${help}`,
        `# TYPE ${name} counter`,
        ...family.lines(name),
      ];
      return [
        '# An isolate counts for itself and forgets when it ends. A deployment has many, and each scrape meets any one of them:',
        '# sums over the fleet come from the data points (Analytics Engine) or from the log.',
        '# HELP edge_clip_isolate_info The isolate that answered this scrape, and what it serves.',
        '# TYPE edge_clip_isolate_info gauge',
        `edge_clip_isolate_info${written({ isolate, model: model.id, version: model.version, space: model.space_id })} 1`,
        ...counter('edge_clip_requests_total', 'Requests answered.', requests),
        ...counter('edge_clip_tokens_total', 'Tokens of texts that were read.', tokens),
        ...counter('edge_clip_images_total', 'Images that were embedded.', images),
        ...counter('edge_clip_cache_requests_total', 'Requests by what the cache knew of them.', cached),
        '# HELP edge_clip_request_duration_milliseconds Wall time. On the platform the clock moves with input and output',
        '# only, so that computing counts as nothing there: the platform itself reports processor time.',
        '# TYPE edge_clip_request_duration_milliseconds histogram',
        ...buckets.lines('edge_clip_request_duration_milliseconds_bucket'),
        ...sums.lines('edge_clip_request_duration_milliseconds_sum'),
        ...counts.lines('edge_clip_request_duration_milliseconds_count'),
        '',
      ].join('\n');
    },
  };
}

function written(labels: Labels): string {
  const escaped = (value: string | number) =>
    String(value).replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
  return `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(',')}}`;
}
