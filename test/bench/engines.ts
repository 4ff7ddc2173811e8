// `npm run bench:engines`: our own text engine beside onnxruntime, in Node and as WebAssembly, in one process by CPU time.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { TextEngine } from '../../api/text/engine.ts';
import { createOnnxEngine } from '../../api/text/onnx/engine.ts';
import { createWasmEngine } from '../../api/text/wasm/engine.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { ModelManifest, type TextTower, textTowers } from '../../contracts/src/model/manifest.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { median, ownCpuMs } from './process.ts';

const HELP = `Usage: npm run bench:engines [-- --json] [--runs N] [--tier student|tiny]

Texts of the embedded model in one thread: onnxruntime-node, onnxruntime-web, and our own engine with relaxed SIMD and
without, in turns after a warm-up. CPU milliseconds, medians of N rounds (default 9), and ratios of the same round.
`;
const OPTIONS = {
  json: { type: 'boolean' },
  runs: { type: 'string', default: '9' },
  tier: { type: 'string', default: 'student' },
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

type Run = (texts: number[][]) => Promise<unknown>;

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<undefined> {
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new UserError(`--runs ${values.runs}: a whole number from 1 on`);
  const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(MODEL, 'manifest.json'), 'utf8')));
  const tower = new Map(Object.entries(textTowers(manifest))).get(values.tier);
  if (!tower) throw new UserError(`--tier ${values.tier}: the model has none of that name`);

  const engines = await openEngines(tower);
  for (const { run } of engines) for (let i = 0; i < WARM_UP; i++) await run([idsOf(16)]);
  for (const shape of SHAPES) {
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
    if (values.json) console.log(JSON.stringify({ ...shape, tier: values.tier, cpu_ms }));
    else console.log(lineOf(shape, cpu_ms));
  }
}

function lineOf({ texts, tokens }: (typeof SHAPES)[number], times: Record<string, number>): string {
  const { node = Number.NaN, web = Number.NaN } = times;
  const cells = Object.entries(times).map(([name, ms]) => {
    const ratios = name.startsWith('own') ? ` (x${(ms / node).toFixed(2)} node, x${(ms / web).toFixed(2)} web)` : '';
    return `${name} ${ms.toFixed(1)} ms${ratios}`;
  });
  return `${`${texts} x ${tokens} tokens`.padEnd(16)} ${cells.join('  ')}`;
}

async function openEngines(tower: TextTower): Promise<{ name: string; run: Run }[]> {
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
  const read = async ({ path }: { path: string }) => Uint8Array.from(readFileSync(join(MODEL, path))).buffer;
  const { encode } = await engine.open(tower, read);
  return encode;
}

/** One text a run, as the others compute them. */
async function inNode(tower: TextTower): Promise<Run> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const threads = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await InferenceSession.create(join(MODEL, tower.graph.file.path), threads);
  const { width } = tower.table;
  return async (texts) => {
    for (const { length } of texts) {
      await session.run({
        inputs_embeds: new Tensor('float32', new Float32Array(length * width).fill(0.05), [1, length, width]),
        attention_mask: new Tensor('int64', new BigInt64Array(length).fill(1n), [1, length]),
      });
    }
  };
}

/** The types of this file are workerd's, where no module is made from bytes. */
function moduleOf(file: string): WebAssembly.Module {
  return Reflect.construct(WebAssembly.Module, [readFileSync(file)]);
}

/** Ids of ordinary tokens between the first and the last one. */
function idsOf(tokens: number, seed = 0): number[] {
  return [2, ...Array.from({ length: tokens - 2 }, (_, i) => 1000 + ((i * 7919 + seed * 3571) % 20_000)), 3];
}

await runCommand({ help: HELP, options: OPTIONS }, main);
