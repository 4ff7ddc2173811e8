// `npm run bench:engines -- --transformers`: transformers.js beside our own engine in a page of Chromium, one thread, in turns.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import type { Page } from 'playwright-core';
import type { TextTower } from '../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { BROWSER, launchBrowser } from '../../support/browser.ts';
import { trainerPython } from '../../support/python.ts';
import { inRounds, medians, warmUp } from '../rounds.ts';
import { type Installed, installTransformers } from './install.ts';
import { serveFiles } from './server.ts';

export interface ComparisonOptions {
  /** Folder of the model. */
  model: string;
  tower: TextTower;
  /** Of the tower, as BertConfig names its fields. */
  shape: Record<string, number>;
  lengths: number[];
  rounds: number;
  idsOf(tokens: number, seed: number): number[];
}
export interface BuildFigures {
  build: string;
  tokens: number;
  /** Milliseconds of a text, medians: of the CPU of the page's thread, and by its clock. */
  cpu_ms: Record<Engine, number>;
  ms: Record<Engine, number>;
  /** Medians of each round's own to the other's, by CPU. */
  ratios: Record<Exclude<Engine, 'own'>, number>;
  /** Of our vector of a text and that of our graph in transformers.js. */
  cosine: number;
}
/** Ours; transformers.js with our graph; the same with BERT of that shape. */
export type Engine = (typeof ENGINES)[number];

const ENGINES = ['own', 'graph', 'bert'] as const;
const ROOT = join(import.meta.dirname, '../../..');
const ENGINE_FILES = join(ROOT, 'api/text/wasm');
/** Builds of onnxruntime-web: the one that transformers.js loads, and the one without WebGPU, which a user may put in its place. */
const BUILDS = {
  'as it comes': { script: 'ort.webgpu.bundle.min.mjs', wasm: 'ort-wasm-simd-threaded.asyncify' },
  'plain build': { script: 'ort.wasm.min.mjs', wasm: 'ort-wasm-simd-threaded' },
};
/** Tokens of one turn, so that reading the clocks is little of it. */
const TURN = 400;
/** After so many texts V8 has compiled the modules for good. */
const WARM_UP = 40;

export interface Compared {
  machine: { cpu: string | undefined; cores: number; load: (number | undefined)[] };
  versions: Record<string, string>;
  figures: BuildFigures[];
}

export async function compareTransformers(options: ComparisonOptions): Promise<Compared> {
  if (BROWSER === undefined) throw new UserError('--transformers runs in Chromium: apt-get install chromium');
  const folder = mkdtempSync(join(tmpdir(), 'bench-transformers-'));
  try {
    const bert = join(folder, 'bert');
    await writeBert(bert, options.shape);
    const installed = installTransformers(folder);
    const load = loadavg()[0];
    const browser = await launchBrowser();
    try {
      const figures: BuildFigures[] = [];
      for (const name of Object.keys(BUILDS) as (keyof typeof BUILDS)[]) {
        const { url, close } = await serveBuild(name, { ...options, installed, bert });
        const page = await browser.newPage();
        try {
          await openPage(page, url, { tower: options.tower, wasm: BUILDS[name].wasm });
          figures.push(...(await measureAll(page, name, options)));
        } finally {
          await page.close();
          close();
        }
      }
      return {
        machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: [load, loadavg()[0]] },
        versions: { chromium: browser.version(), ...installed.versions },
        figures,
      };
    } finally {
      await browser.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** By the trainer's own packages. */
async function writeBert(folder: string, shape: Record<string, number>): Promise<void> {
  const words = ['-W', 'ignore', '-m', 'bench.bert', folder, JSON.stringify(shape)];
  const PYTHONPATH = ['trainer', 'contracts/python'].map((path) => join(ROOT, path)).join(':');
  await promisify(execFile)(await trainerPython(), words, { env: { ...process.env, PYTHONPATH } });
}

/** The page, its script, both packages and the model, to transformers.js in the folder and by the names that it expects. */
async function serveBuild(
  name: keyof typeof BUILDS,
  {
    installed,
    model,
    tower,
    bert,
  }: Pick<ComparisonOptions, 'model' | 'tower'> & { installed: Installed; bert: string },
) {
  const { outputFiles } = await build({
    entryPoints: [join(import.meta.dirname, 'page.ts')],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    logLevel: 'silent',
  });
  const runtime = `/ort/${BUILDS[name].script}`;
  const imports = {
    '@huggingface/transformers': '/transformers/transformers.web.min.js',
    'onnxruntime-web/webgpu': runtime,
    'onnxruntime-common': runtime,
  };
  const html = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">import * as bench from '/page.js'; globalThis.bench = bench;</script>`;
  const { file, weights } = tower.graph;
  const files = new Map<string, string | Uint8Array>([
    ['/index.html', Buffer.from(html)],
    ['/page.js', outputFiles[0]?.contents ?? new Uint8Array()],
    ['/models/student/config.json', Buffer.from(JSON.stringify({ model_type: 'bert' }))],
    ['/models/student/onnx/model_quantized.onnx', join(model, file.path)],
    ...(weights ? [[`/models/student/onnx/${weights.name}`, join(model, weights.file.path)] as const] : []),
  ]);
  const folders = {
    '/ort/': installed.onnxruntime,
    '/transformers/': installed.transformers,
    '/models/bert/': bert,
    '/own/': ENGINE_FILES,
    '/model/': model,
  };
  return serveFiles((path) => {
    const inFolder = Object.entries(folders).find(([prefix]) => path.startsWith(prefix));
    return inFolder ? join(inFolder[1], normalize(path.slice(inFolder[0].length))) : files.get(path);
  });
}

async function openPage(page: Page, url: string, { tower, wasm }: { tower: TextTower; wasm: string }): Promise<void> {
  // Nothing comes from elsewhere: neither models nor modules.
  await page.route(
    (address) => address.origin !== url && address.protocol.startsWith('http'),
    (route) => route.abort(),
  );
  await page.goto(`${url}/index.html`);
  await page.waitForFunction('globalThis.bench');
  const asked = { tower, wasmPaths: { mjs: `${url}/ort/${wasm}.mjs`, wasm: `${url}/ort/${wasm}.wasm` } };
  await page.evaluate(`bench.open(${JSON.stringify(asked)})`);
}

async function measureAll(
  page: Page,
  name: string,
  { lengths, rounds, idsOf }: ComparisonOptions,
): Promise<BuildFigures[]> {
  const cpuMs = await clockOf(page);
  const run = (engine: Engine, texts: number[][]) =>
    page.evaluate<number>(`bench.run(${JSON.stringify(engine)}, ${JSON.stringify(texts)})`);
  async function turn(engine: Engine, texts: number[][]) {
    const before = await cpuMs();
    const ms = await run(engine, texts);
    return { ms, cpu: ((await cpuMs()) - before) / texts.length };
  }
  for (const engine of ENGINES) await warmUp(rounds, () => run(engine, [idsOf(16, 0)]), WARM_UP);
  const figures: BuildFigures[] = [];
  for (const tokens of lengths) {
    const texts = Array.from({ length: Math.ceil(TURN / tokens) }, (_, seed) => idsOf(tokens, seed));
    const taken = await inRounds(rounds, async () => ({
      own: await turn('own', texts),
      graph: await turn('graph', texts),
      bert: await turn('bert', texts),
    }));
    const each = (clock: 'ms' | 'cpu') => medians(taken.map((round) => ofEach((engine) => round[engine][clock])));
    const { own: _, ...ratios } = medians(taken.map((round) => ofEach((engine) => round.own.cpu / round[engine].cpu)));
    const cosine = await page.evaluate<number>(`bench.compare(${JSON.stringify(texts[0])})`);
    figures.push({ build: name, tokens, cpu_ms: each('cpu'), ms: each('ms'), ratios, cosine });
  }
  return figures;
}

const ofEach = (take: (engine: Engine) => number) => ({ own: take('own'), graph: take('graph'), bert: take('bert') });

/** CPU milliseconds that the page's thread has run, by the browser's own count. */
async function clockOf(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  return async () => {
    const { metrics } = await session.send('Performance.getMetrics');
    const found =
      metrics.find(({ name }) => name === 'ThreadTime') ?? metrics.find(({ name }) => name === 'TaskDuration');
    if (!found) throw new Error(`Chromium counts no CPU time: ${metrics.map(({ name }) => name).join(', ')}`);
    return found.value * 1000;
  };
}
