// `npm run bench:engines`: our own text engine beside onnxruntime, in Node and as WebAssembly, in one process by CPU time.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { dot } from '../../api/core/vectors/vectors.ts';
import type { TextEngine } from '../../api/text/engine.ts';
import { createOnnxEngine } from '../../api/text/onnx/engine.ts';
import { openTable } from '../../api/text/table.ts';
import { createWasmEngine } from '../../api/text/wasm/engine.ts';
import { readOnnx } from '../../api/text/wasm/onnx-file.ts';
import { STUDENT } from '../../api/text/wasm/student-graph.ts';
import { matricesOf, readGraph, type TowerShape } from '../../api/text/wasm/text-graph.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../contracts/command/numbers.ts';
import { ModelManifest, type TextTower } from '../../contracts/src/model/manifest.ts';
import { textTowers } from '../../contracts/src/model/towers.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { measurePeak } from './peak.ts';
import { median, ownCpuMs } from './process.ts';
import { warmUp } from './rounds.ts';
import type { Compared } from './transformers/compare.ts';

const HELP = `Usage: npm run bench:engines [-- --json] [--runs N] [--longest N] [--tier student|tiny] [--parity | --transformers]

Texts of the embedded model in one thread: onnxruntime-node, onnxruntime-web, and our own engine with relaxed SIMD and
without, in turns after a warm-up. CPU milliseconds, medians of N rounds (default 9), and ratios of the same round. --longest leaves
out texts of more tokens.
"% of peak": products with the layers' matrices a second, attention and all else included in the time, to what the
machine does of relaxed SIMD's product of bytes with everything in registers.
--parity measures no time: how far vectors are from those of our own engine without relaxed SIMD, the most exact one, as
1 - cosine, mean and worst over texts of every length from 1 to the longest.
--transformers runs our own engine in a page of Chromium beside transformers.js, one thread of WebAssembly each: "graph" is the same
model there, "bert" one of its shape with random weights as transformers itself exports it, in int8; with the package as it comes, and
with the build of its runtime that has no WebGPU. The package comes from the registry into a folder that goes afterwards.
`;
const OPTIONS = {
  json: { type: 'boolean' },
  runs: { type: 'string', default: '9' },
  longest: { type: 'string', default: '512' },
  tier: { type: 'string', default: 'student' },
  parity: { type: 'boolean', default: false },
  transformers: { type: 'boolean', default: false },
} as const;
const ROOT = join(import.meta.dirname, '../..');
const MODEL = join(ROOT, 'api/model');
/** After so many texts V8 has compiled the modules for good. */
const WARM_UP = 40;
const SHAPES = [
  { texts: 1, tokens: 8 },
  { texts: 1, tokens: 16 },
  { texts: 1, tokens: 77 },
  { texts: 1, tokens: 256 },
  { texts: 1, tokens: 512 },
  { texts: 32, tokens: 8 },
];

type Run = (texts: number[][]) => Promise<Float32Array[]>;
type Engines = { name: string; run: Run }[];
/** Texts of parity between two lines on the terminal. */
const STRIDE = 32;

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<undefined> {
  const runs = wholeNumberOf('--runs', values.runs, { from: 1 });
  const longest = wholeNumberOf('--longest', values.longest, { from: 1 });
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(MODEL, 'manifest.json'), 'utf8')));
  const tower = new Map(Object.entries(textTowers(manifest))).get(values.tier);
  if (!tower) throw new UserError(`--tier ${values.tier}: the model has none of that name`);
  if (values.transformers) return besideTransformers(tower, { rounds: runs, longest, json: values.json });

  const engines = await openEngines(tower);
  const products = await productsOf(tower);
  if (values.parity) return compareAll(engines, { tokens: manifest.text.context_length, json: values.json });
  for (const { run } of engines) await warmUp(runs, () => run([idsOf(16)]), WARM_UP);
  for (const shape of SHAPES.filter(({ tokens }) => tokens <= longest)) {
    const texts = Array.from({ length: shape.texts }, (_, seed) => idsOf(shape.tokens, seed));
    const times = new Map(engines.map(({ name }) => [name, [] as number[]]));
    for (let round = 0; round < runs; round++) {
      for (const { name, run } of engines) {
        const before = ownCpuMs();
        await run(texts);
        times.get(name)?.push(ownCpuMs() - before);
      }
    }
    const cpu_ms = Object.fromEntries([...times].map(([name, all]) => [name, median(all)]));
    const rate = (shape.texts * shape.tokens * products) / (cpu_ms['own relaxed'] ?? Number.NaN) / 1e6;
    // Of the same minute: other work on the machine slows both.
    const share_of_peak = rate / measurePeak();
    if (values.json) console.log(JSON.stringify({ ...shape, tier: values.tier, cpu_ms, share_of_peak }));
    else console.log(`${lineOf(shape, cpu_ms)}  ${Math.round(100 * share_of_peak)} % of peak`);
  }
}

interface InPage {
  rounds: number;
  longest: number;
  json: boolean | undefined;
}

async function besideTransformers(tower: TextTower, { rounds, longest, json }: InPage): Promise<undefined> {
  const { compareTransformers } = await import('./transformers/compare.ts');
  const lengths = SHAPES.filter(({ texts, tokens }) => texts === 1 && tokens <= longest).map(({ tokens }) => tokens);
  const { layers, heads, width, hidden, tokens: longestText } = await shapeOf(tower);
  const shape = {
    vocab_size: tower.table.rows,
    hidden_size: width,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: hidden,
    max_position_embeddings: longestText,
  };
  const compared = await compareTransformers({ model: MODEL, tower, shape, lengths, rounds, idsOf });
  if (json) console.log(JSON.stringify(compared));
  else printCompared(compared);
}

function printCompared({ figures, ...circumstances }: Compared): void {
  for (const each of Object.values(circumstances)) console.log(JSON.stringify(each));
  for (const { build, tokens, ms, cpu_ms, ratios, cosine } of figures) {
    const cells = Object.keys(cpu_ms).map((name) => {
      const engine = name as keyof typeof cpu_ms;
      return `${engine} ${cpu_ms[engine].toFixed(1)} ms (${ms[engine].toFixed(1)} by the clock)`;
    });
    const compared = `x${ratios.graph.toFixed(3)} graph, x${ratios.bert.toFixed(3)} bert`;
    console.log(
      `${build}, ${String(tokens).padStart(3)} tokens  ${cells.join('  ')}  ${compared}  cosine ${cosine.toFixed(4)}`,
    );
  }
}

/** Multiplications with the matrices of all layers for a token, attention not among them. */
async function productsOf(tower: TextTower): Promise<number> {
  const shape = await shapeOf(tower);
  return shape.layers * matricesOf(shape).reduce((sum, [, depth, columns]) => sum + depth * columns, 0);
}

async function shapeOf(tower: TextTower): Promise<TowerShape> {
  const shape = readGraph(readOnnx(new Uint8Array(await readModel(tower.graph.file))), STUDENT);
  if ('other' in shape) throw new Error(shape.other);
  return shape;
}

function lineOf({ texts, tokens }: (typeof SHAPES)[number], times: Record<string, number>): string {
  const { node = Number.NaN, web = Number.NaN } = times;
  const cells = Object.entries(times).map(([name, ms]) => {
    const ratios = name.startsWith('own') ? ` (x${(ms / node).toFixed(2)} node, x${(ms / web).toFixed(2)} web)` : '';
    return `${name} ${ms.toFixed(1)} ms${ratios}`;
  });
  return `${`${texts} x ${tokens} tokens`.padEnd(16)} ${cells.join('  ')}`;
}

async function openEngines(tower: TextTower): Promise<Engines> {
  const ort = createRequire(import.meta.url).resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm');
  const own = (file: string) => createWasmEngine({ module: moduleOf(join(ROOT, 'api/text/wasm', file)) });
  const web = createOnnxEngine({ wasm: moduleOf(ort), alone: (work) => work() });
  return [
    { name: 'node', run: await inNode(tower) },
    { name: 'web', run: await opened(web, tower) },
    { name: 'own plain', run: await opened(own('encoder.wasm'), tower) },
    { name: 'own relaxed', run: await opened(own('encoder.relaxed.wasm'), tower) },
  ];
}

async function opened(engine: TextEngine, tower: TextTower): Promise<Run> {
  const { encode } = await engine.open(tower, readModel);
  return encode;
}

const readModel = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(MODEL, path))).buffer;

/** One text a run, as the others compute them. */
async function inNode(tower: TextTower): Promise<Run> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const threads = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await InferenceSession.create(join(MODEL, tower.graph.file.path), threads);
  const table = openTable(tower.table, await readModel(tower.table.file));
  const { width } = table;
  return async (texts) => {
    const vectors: Float32Array[] = [];
    for (const ids of texts) {
      const rows = new Float32Array(ids.length * width);
      for (const [at, id] of ids.entries()) table.addRow(id, rows, { at: at * width });
      const { embedding } = await session.run({
        inputs_embeds: new Tensor('float32', rows, [1, ids.length, width]),
        attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
      });
      vectors.push(embedding?.data as Float32Array);
    }
    return vectors;
  };
}

interface Parity {
  /** Of the longest text. */
  tokens: number;
  json: boolean | undefined;
}

/** Distances of every engine to the most exact one, over texts of every length. */
async function compareAll(engines: Engines, { tokens, json }: Parity): Promise<undefined> {
  const exact = engines.find(({ name }) => name === 'own plain');
  const others = engines.filter((engine) => engine !== exact);
  const distances = new Map(others.map(({ name }) => [name, [] as number[]]));
  for (let length = 1; length <= tokens; length++) {
    const texts = [idsOf(length, length)];
    const [wanted = new Float32Array()] = (await exact?.run(texts)) ?? [];
    for (const { name, run } of others) {
      const [vector = new Float32Array()] = await run(texts);
      distances.get(name)?.push(1 - dot(vector, wanted));
    }
    if (length % STRIDE === 0) process.stderr.write(`${length} of ${tokens} lengths\n`);
  }
  for (const [engine, all] of distances) {
    const mean = all.reduce((sum, distance) => sum + distance, 0) / all.length;
    const worst = Math.max(...all);
    if (json) console.log(JSON.stringify({ engine, lengths: all.length, mean, worst }));
    else console.log(`${engine.padEnd(12)} mean ${mean.toExponential(1)}, worst ${worst.toExponential(1)}`);
  }
}

/** The types of this file are workerd's, where no module is made from bytes. */
function moduleOf(file: string): WebAssembly.Module {
  return Reflect.construct(WebAssembly.Module, [readFileSync(file)]);
}

/** Ids of ordinary tokens between the first and the last one. */
function idsOf(tokens: number, seed = 0): number[] {
  const inner = Array.from({ length: Math.max(0, tokens - 2) }, (_, i) => 1000 + ((i * 7919 + seed * 3571) % 20_000));
  return [2, ...inner, 3].slice(0, tokens);
}

await runCommand({ help: HELP, options: OPTIONS }, main);
