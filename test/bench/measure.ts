// Everything that `npm run bench` measures, one after the other, as one document.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { choices } from '../../api/core/model.ts';
import { bundleWorker, EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { PLAN_LIMITS } from '../../contracts/src/api/limits.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { type FirstVectorFigures, measureFirstVector } from './first-vector.ts';
import { measureEncoder } from './images/encoder.ts';
import { cpuMs } from './process.ts';
import { measureAccess } from './serving/access.ts';
import { measureApplication } from './serving/application.ts';
import { measureRequests } from './serving/requests.ts';
import { type Server, startServer } from './serving/server.ts';
import { measureStatic, measureTexts, SHAPES, type Shape, textOf } from './serving/texts.ts';
import { measureThroughput, type ThroughputOptions } from './serving/throughput.ts';
import { measureStartup } from './startup.ts';

const MIB = 2 ** 20;
const ENGINES = fileURLToPath(new URL('engines.ts', import.meta.url));

export interface Options {
  runs: number;
  /** The Worker's TEXT_ENGINE. */
  engine: string;
  /** Shows that everything runs, not how fast: fewer shapes and rounds, no start-up, no images. */
  short: boolean;
  /** Told what is measured next. */
  onPart: (part: string) => void;
}

/** How much of everything there is. */
interface Extent {
  shapes: Shape[];
  engineRuns: number;
  staticRuns: number;
  throughput: ThroughputOptions;
}

function extentOf({ runs, short }: Options): Extent {
  if (short) {
    return {
      shapes: SHAPES.filter(({ rows, tokens }) => rows === 1 && tokens <= 16),
      engineRuns: 1,
      staticRuns: 1,
      throughput: { connections: [8], rounds: 1, seconds: 0.3 },
    };
  }
  return {
    shapes: SHAPES,
    engineRuns: runs,
    staticRuns: 9,
    throughput: { connections: [1, 8, 32], rounds: 9, seconds: 0.7 },
  };
}

export type Result = Awaited<ReturnType<typeof measure>>;

export async function measure(options: Options) {
  const { runs, engine, short, onPart } = options;
  const load_before = loadavg()[0];
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')));
  const extent = extentOf(options);
  onPart('engines');
  const engines = await measureEngines(extent);
  if (!short) onPart('start-up');
  const startup = short ? undefined : await measureStartup(5);
  if (!short) onPart('the first vector of new isolates');
  const first_vectors = short ? [] : await measureFirstVectors(manifest);
  const edge = await measureEdge(manifest, { ...options, ...extent });
  onPart('requests');
  const requests = await measureRequests(short ? 1 : runs);
  const sizes = (await bundleWorker({ minify: true })).map(({ path, contents }) => ({
    path,
    bytes: Buffer.byteLength(contents),
    gzip_bytes: gzipSync(contents).length,
  }));
  if (!short) onPart('images');
  const images = short ? undefined : await measureEncoder(EMBEDDED_MODEL, 5);
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
    engines,
    startup,
    first_vectors,
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

/** With each model that the manifest offers. */
async function measureFirstVectors(manifest: ModelManifest) {
  const figures: (FirstVectorFigures & { model: string })[] = [];
  for (const { id: model } of choices({ manifest, limits: PLAN_LIMITS.paid }))
    figures.push({ model, ...(await measureFirstVector(5, model)) });
  return figures;
}

/** Milliseconds of CPU by engine, for so many texts of so many tokens in one call. */
export interface EngineFigures {
  texts: number;
  tokens: number;
  cpu_ms: Record<string, number>;
  /** Products with matrices a second to what the machine does at most of relaxed SIMD's product of bytes. */
  share_of_peak: number;
}

/** In a process of their own, whose CPU time is theirs. */
async function measureEngines({ shapes, engineRuns }: Extent): Promise<EngineFigures[]> {
  const longest = Math.max(...shapes.map(({ tokens }) => tokens));
  const options = ['--json', '--runs', String(engineRuns), '--longest', String(longest)];
  const { stdout } = await promisify(execFile)(process.execPath, [ENGINES, ...options]);
  const lines = stdout.trim().split('\n');
  return lines.map((line) => JSON.parse(line) as EngineFigures);
}

async function measureEdge(
  manifest: ModelManifest,
  { runs, engine, onPart, shapes, staticRuns, throughput }: Options & Extent,
) {
  const own = await startServer({ CACHE: 'off', TEXT_ENGINE: engine });
  // The same Worker with onnxruntime-web, unless that is what is measured.
  const web = engine === 'onnx' ? undefined : await startServer({ CACHE: 'off', TEXT_ENGINE: 'onnx' });
  try {
    onPart('first requests and memory');
    const first = await firstRequest(own);
    const webFirst = web && (await firstRequest(web));
    // The memory never shrinks, so each is read before anything larger is asked.
    const after_load = await own.wasmMib();
    await own.embed({ input: textOf(256) });
    const after_256_tokens = await own.wasmMib();
    onPart('the static tier');
    const static_tier = [await measureStatic(own, 16, staticRuns), await measureStatic(own, 77, staticRuns)];
    onPart('the application alone');
    const application = await measureApplication(own, manifest.name, staticRuns);
    onPart('keys and limits');
    const access = await measureAccess(own, runs);
    onPart('texts');
    const texts = await measureTexts({ own, web }, { manifest, runs, shapes });
    const wasm_mib = {
      after_load,
      after_256_tokens,
      at_the_end: await own.wasmMib(),
      ...(web ? { web_at_the_end: await web.wasmMib() } : {}),
    };
    onPart('connections at once');
    const connections = web ? await measureThroughput({ own, web }, throughput) : [];
    return {
      listening_ms: own.listening_ms,
      first_request_ms: first.ms,
      first_request_cpu_ms: first.cpu_ms,
      web_first_request_cpu_ms: webFirst?.cpu_ms,
      wasm_mib,
      static_tier,
      application,
      access,
      connections,
      ...texts,
    };
  } finally {
    await Promise.all([own.stop(), web?.stop()]);
  }
}

/** It opens the model. */
async function firstRequest({ pid, embed }: Server): Promise<{ ms: number; cpu_ms: number }> {
  const [started, before] = [performance.now(), cpuMs(pid)];
  await embed({ input: 'a dog' });
  return { ms: performance.now() - started, cpu_ms: cpuMs(pid) - before };
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

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
