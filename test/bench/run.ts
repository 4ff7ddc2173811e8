// `npm run bench`: what the edge costs, against its targets, in one run on one machine.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { bundleWorker, EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { startWorker } from '../../api/dev/local-worker.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { measureAccess } from './access.ts';
import { measureEncoder } from './encoder.ts';
import { childrenNamed } from './process.ts';
import { measureRequests } from './requests.ts';
import { measureStartup } from './startup.ts';
import { measureStatic, measureTexts, type Server, textOf } from './texts.ts';

const HELP = `Usage: npm run bench [-- --json] [--runs N] [--engine wasm|wasm-plain|onnx]

Texts in workerd over HTTP and in onnxruntime-node with one thread take turns, after a warm-up; milliseconds are medians
of N rounds (default 20); --engine is the Worker's TEXT_ENGINE. What to compare between machines is the ratio; "net"
leaves out what an empty request takes, "CPU" compares the two processes' CPU time, which other work on the machine
hardly changes. Reads /proc: Linux.
`;
const OPTIONS = {
  json: { type: 'boolean' },
  runs: { type: 'string', default: '20' },
  engine: { type: 'string', default: 'wasm' },
} as const;
const MIB = 2 ** 20;
/** Values of the Worker's TEXT_ENGINE. */
const ENGINES = ['wasm', 'wasm-plain', 'onnx'];

interface Options {
  runs: number;
  engine: string;
}

type Result = Awaited<ReturnType<typeof measure>>;

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<undefined> {
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new UserError(`--runs ${values.runs}: a whole number from 1 on`);
  const { engine } = values;
  if (!ENGINES.includes(engine)) throw new UserError(`--engine ${engine}: one of ${ENGINES.join(', ')}`);
  const result = await measure({ runs, engine });
  if (values.json) console.log(JSON.stringify({ ...result, rows: rowsOf(result) }, null, 2));
  else printTable(result);
}

async function measure({ runs, engine }: Options) {
  const load_before = loadavg()[0];
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')));
  const startup = await measureStartup(5);
  const edge = await measureEdge(manifest, { runs, engine });
  const requests = await measureRequests(runs);
  const sizes = (await bundleWorker({ minify: true })).map(({ path, contents }) => ({
    path,
    bytes: Buffer.byteLength(contents),
    gzip_bytes: gzipSync(contents).length,
  }));
  const images = await measureEncoder(EMBEDDED_MODEL, 5);
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model,
      cores: availableParallelism(),
      memory_mib: Math.round(totalmem() / MIB),
      load: [load_before, loadavg()[0]],
    },
    versions: versions(['onnxruntime-web', 'onnxruntime-node', 'hono', 'miniflare', 'workerd', 'sharp']),
    model: `${manifest.name} ${manifest.version}`,
    engine,
    runs,
    startup,
    ...edge,
    requests,
    bundle: {
      bytes: sum(sizes.map(({ bytes }) => bytes)),
      gzip_bytes: sum(sizes.map(({ gzip_bytes }) => gzip_bytes)),
      files: sizes,
    },
    images,
  };
}

async function measureEdge(manifest: ModelManifest, { runs, engine }: Options) {
  const before = performance.now();
  const entry = fileURLToPath(new URL('worker.ts', import.meta.url));
  // Nothing listens there: no image is sent.
  const { platform, url } = await startWorker({
    model: EMBEDDED_MODEL,
    port: 0,
    encoderUrl: 'http://127.0.0.1:1',
    entry,
    variables: { CACHE: 'off', TEXT_ENGINE: engine },
  });
  try {
    const [pid] = childrenNamed('workerd');
    if (pid === undefined) throw new Error('there is no workerd among the child processes');
    const listening_ms = performance.now() - before;
    const embed = async (body: object) => {
      const response = await fetch(`${url}/embed`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ types: ['base64'], ...body }),
      });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
    };
    const wasmMib = async () => {
      const { wasm_bytes } = (await (await fetch(`${url}/bench/memory`)).json()) as { wasm_bytes: number };
      return wasm_bytes / MIB;
    };
    const server: Server = { url, pid, embed };

    const cold = performance.now();
    await embed({ input: 'a dog' });
    const first_request_ms = performance.now() - cold;
    // The memory never shrinks, so each is read before anything larger is asked.
    const after_load = await wasmMib();
    await embed({ input: textOf(256) });
    const after_256_tokens = await wasmMib();
    const static_tier = [await measureStatic(server, 16, 9), await measureStatic(server, 77, 9)];
    const access = await measureAccess(server, platform, runs);
    const texts = await measureTexts(server, manifest, runs);
    const wasm_mib = { after_load, after_256_tokens, at_the_end: await wasmMib() };
    return { listening_ms, first_request_ms, wasm_mib, static_tier, access, ...texts };
  } finally {
    await platform.dispose();
  }
}

function versions(packages: string[]): Record<string, string> {
  const require = createRequire(import.meta.url);
  const installed = packages.map((name) => {
    const folder = (require.resolve.paths(name) ?? []).map((at) => join(at, name, 'package.json'));
    const found = folder.flatMap((file) => {
      try {
        return [(JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version];
      } catch {
        return [];
      }
    });
    return [name, found[0] ?? 'unknown'];
  });
  return { node: process.version, ...Object.fromEntries(installed) };
}

interface Row {
  what: string;
  value: number;
  unit: string;
  /** At most this much. */
  target?: number;
  note?: string;
}

function rowsOf(result: Result): Row[] {
  const { texts, wasm_mib, static_tier, access, noop_ms, first_request_ms, startup, images, requests } = result;
  const { empty_us, hit_us, not_modified_us, student_us, static_us, logging_us } = requests;
  return [
    ...texts.map(({ rows: count, tokens, ...figures }) => ({
      what: `text ${count} x ${tokens} tokens, CPU beside Node`,
      value: figures.cpu_ratio,
      unit: 'x',
      note: `${figures.workerd_ms.toFixed(1)} ms in workerd, ${figures.node_ms.toFixed(1)} ms in Node: x${figures.ratio.toFixed(1)}, net x${figures.net_ratio.toFixed(1)}`,
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
    { what: 'first request', value: first_request_ms, unit: 'ms', note: 'opens the model' },
    { what: 'WASM memory after load', value: wasm_mib.after_load, unit: 'MiB', target: 60 },
    { what: 'WASM memory after 256 tokens', value: wasm_mib.after_256_tokens, unit: 'MiB', target: 60 },
    { what: 'WASM memory at the end', value: wasm_mib.at_the_end, unit: 'MiB', note: '512 tokens and 8 x 16' },
    {
      what: 'start-up CPU',
      value: startup.cpu_ms,
      unit: 'ms',
      target: 100,
      note: `with loading its modules ${startup.load_and_cpu_ms.toFixed(0)} ms`,
    },
    ...static_tier.map(({ tokens, us_per_text, cpu_us_per_text }) => ({
      what: `static tier, ${tokens} tokens`,
      value: us_per_text,
      unit: 'us',
      target: 100,
      note: `CPU ${cpu_us_per_text.toFixed(0)} us`,
    })),
    {
      what: 'bundle',
      value: result.bundle.bytes / MIB,
      unit: 'MiB',
      target: 64,
      note: `gzip ${(result.bundle.gzip_bytes / MIB).toFixed(1)} MiB`,
    },
    { what: 'images a second a core', value: images.images_per_second_per_core, unit: '' },
  ].map((row: Row) => ({ ...row, ...(row.target === undefined ? {} : { pass: row.value <= row.target }) }));
}

function printTable(result: Result): void {
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

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

await runCommand({ help: HELP, options: OPTIONS }, main);
