// The table that `npm run bench` prints: figures beside their targets, and ratios beside those that are committed.
import { percent, type Verdict } from './compare/baseline.ts';
import type { Ratio } from './compare/ratios.ts';
import type { Result } from './measure.ts';

const MIB = 2 ** 20;

interface Row {
  what: string;
  value: number;
  unit: string;
  /** At most this much. */
  target?: number;
  note?: string;
}

/** What the table shows. */
export function rowsOf(result: Result): Row[] {
  const { texts, wasm_mib, static_tier, application, access, noop_ms, first_request_ms, startup, images, requests } =
    result;
  const { empty_us, hit_us, not_modified_us, student_us, static_us, logging_us } = requests;
  return [
    ...texts.map(({ rows: count, tokens, ...figures }) => ({
      what: `text ${count} x ${tokens} tokens, CPU beside Node`,
      value: figures.cpu_ratio,
      unit: 'x',
      note: `${figures.workerd_ms.toFixed(1)} ms in workerd, ${figures.node_ms.toFixed(1)} ms in Node: x${figures.ratio.toFixed(1)}, net x${figures.net_ratio.toFixed(1)}${figures.web_ms === undefined ? '' : `; ${figures.web_ms.toFixed(1)} ms with onnxruntime-web`}`,
    })),
    ...result.connections.map((figures) => ({
      what: `requests of a word, ${figures.connections} connections`,
      value: figures.own_per_second,
      unit: '/s',
      note: `x${(figures.own_per_second / figures.web_per_second).toFixed(1)} of onnxruntime-web's ${figures.web_per_second.toFixed(0)}, x${(figures.own_per_cpu_second / figures.web_per_cpu_second).toFixed(1)} by CPU; refused ${percent(figures.own_refused)} and ${percent(figures.web_refused)}`,
    })),
    { what: 'empty request', value: noop_ms, unit: 'ms' },
    { what: 'a key looked at, CPU', value: access.check_cpu_us, unit: 'us', note: 'remembered, without limits' },
    {
      what: 'a request with key and limits, CPU more',
      value: access.with_cpu_us - access.without_cpu_us,
      unit: 'us',
      note: `${access.with_cpu_us.toFixed(0)} us instead of ${access.without_cpu_us.toFixed(0)}; ${access.with_ms.toFixed(2)} ms instead of ${access.without_ms.toFixed(2)}`,
    },
    {
      what: 'auth, limits and logging per request, CPU',
      value: access.with_cpu_us - access.without_cpu_us + logging_us,
      unit: 'us',
      note: `of which the log line and the counters ${logging_us.toFixed(0)} us`,
    },
    {
      what: 'cache hit against miss, CPU',
      value: hit_us / student_us,
      unit: 'x',
      target: 1,
      note: `requests of 8 tokens: ${hit_us.toFixed(0)} us instead of ${student_us.toFixed(0)}; 304: ${not_modified_us.toFixed(0)}, empty: ${empty_us.toFixed(0)}`,
    },
    {
      what: 'request of 8 tokens, student, CPU',
      value: student_us / 1000,
      unit: 'ms',
      target: 30_000,
      note: 'the paid plan as wrangler.toml has it; the local server included',
    },
    {
      what: 'request of 8 tokens, static tier, CPU',
      value: static_us / 1000,
      unit: 'ms',
      target: 10,
      note: 'the free plan; the local server included',
    },
    ...result.first_vectors.map(({ model, cpu_ms, thread_ms, wall_ms, again_cpu_ms }) => ({
      what: `first vector of a new isolate, ${model}, CPU`,
      value: cpu_ms,
      unit: 'ms',
      target: 60,
      note: `${thread_ms.toFixed(0)} of the isolate's thread; ${wall_ms.toFixed(0)} ms; the same again ${again_cpu_ms.toFixed(1)} ms of CPU`,
    })),
    { what: 'first request', value: first_request_ms, unit: 'ms', note: 'opens the model' },
    { what: 'WASM memory after load', value: wasm_mib.after_load, unit: 'MiB', target: 60 },
    { what: 'WASM memory after 256 tokens', value: wasm_mib.after_256_tokens, unit: 'MiB', target: 60 },
    { what: 'WASM memory at the end', value: wasm_mib.at_the_end, unit: 'MiB', note: '512 tokens and 8 x 16' },
    ...(startup === undefined
      ? []
      : [
          {
            what: 'start-up CPU',
            value: startup.cpu_ms,
            unit: 'ms',
            target: 100,
            note: `with loading its modules ${startup.load_and_cpu_ms.toFixed(0)} ms`,
          },
        ]),
    ...static_tier.map(({ tokens, us_per_text, cpu_us_per_text }) => ({
      what: `static tier, ${tokens} tokens`,
      value: us_per_text,
      unit: 'us',
      ...(tokens === 16 ? { target: 15 } : {}),
      note: `CPU ${cpu_us_per_text.toFixed(1)} us`,
    })),
    {
      what: 'the application alone, 16 tokens, static, CPU',
      value: application.static_us,
      unit: 'us',
      note: `with floats in JSON ${application.static_float_us.toFixed(0)} us, an empty request ${application.empty_us.toFixed(0)}`,
    },
    {
      what: 'bundle',
      value: result.bundle.bytes / MIB,
      unit: 'MiB',
      target: 64,
      note: `gzip ${(result.bundle.gzip_bytes / MIB).toFixed(1)} MiB`,
    },
    ...(images === undefined
      ? []
      : [{ what: 'images a second a core', value: images.images_per_second_per_core, unit: '' }]),
  ].map((row: Row) => ({ ...row, ...(row.target === undefined ? {} : { pass: row.value <= row.target }) }));
}

export function printTable(result: Result): void {
  console.log(
    `${result.model}, engine ${result.engine}, on ${result.machine.cpu}, ${result.machine.cores} cores, load ${result.machine.load[0]?.toFixed(1)}`,
  );
  console.log(
    `${Object.entries(result.versions)
      .map((pair) => pair.join(' '))
      .join(', ')}\n`,
  );
  for (const { what, value, unit, target, note } of rowsOf(result)) {
    const figure = `${value.toFixed(value < 100 ? 1 : 0)} ${unit}`.padStart(12);
    const verdict = target === undefined ? '' : `<= ${target}  ${value <= target ? 'pass' : 'MISS'}`;
    console.log(`${what.padEnd(42)}${figure}  ${verdict.padEnd(13)} ${note ?? ''}`.trimEnd());
  }
}

/** Ratios of a run beside their targets and, where they are compared, beside the committed ones. */
export function printRatios(ratios: (Ratio & Partial<Verdict>)[]): void {
  const isCompared = ratios.some(({ committed }) => committed !== undefined);
  const heads = [
    'now'.padStart(9),
    'target'.padStart(10),
    ...(isCompared ? ['committed'.padStart(11), 'worse'.padStart(8)] : []),
  ];
  console.log(`\n${'ratio'.padEnd(64)}${heads.join('')}`);
  for (const { name, value, better, target, committed, loss, isLost } of ratios) {
    const aim = target === undefined ? '' : `${better === 'lower' ? '<=' : '>='} ${target}`;
    const cells = [value.toFixed(3).padStart(9), aim.padStart(10)];
    if (isCompared) {
      cells.push((committed?.toFixed(3) ?? 'new').padStart(11), (loss === undefined ? '' : percent(loss)).padStart(8));
    }
    console.log(`${name.padEnd(64)}${cells.join('')}${isLost ? '  LOST' : ''}`.trimEnd());
  }
}
