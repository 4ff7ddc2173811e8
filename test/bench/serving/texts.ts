// Texts in workerd over HTTP, beside onnxruntime-node with one thread on the same weights and beside the same Worker with
// another engine, in turns.
import { join } from 'node:path';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { cpuMs, median, ownCpuMs } from '../process.ts';
import { inRounds, medians, warmUp } from '../rounds.ts';
import type { Server } from './server.ts';

export const SHAPES = [
  { rows: 1, tokens: 8 },
  { rows: 1, tokens: 16 },
  { rows: 1, tokens: 77 },
  { rows: 1, tokens: 256 },
  { rows: 1, tokens: 512 },
  { rows: 8, tokens: 16 },
  { rows: 32, tokens: 8 },
];
export type Shape = (typeof SHAPES)[number];

export interface TextFigures extends Shape {
  /** Medians of what a client waits, HTTP included; ratios are medians of those of a round, whose parts a slower minute slows alike. */
  workerd_ms: number;
  node_ms: number;
  ratio: number;
  /** The same without what an empty request takes. */
  net_ratio: number;
  /** CPU of both processes instead of the client's clock, without an empty request's. */
  workerd_cpu_ms: number;
  node_cpu_ms: number;
  cpu_ratio: number;
  /** Of the Worker with another engine, if there is one: what a client waits, its CPU, and ours to its. */
  web_ms?: number;
  web_cpu_ms?: number;
  web_cpu_ratio?: number;
}

/** One piece each in the vocabulary. */
export const WORDS = ['dog', 'cat', 'car', 'house', 'tree', 'water', 'man', 'day'];

/** A text of exactly this many tokens, [CLS] and [SEP] included: "dog" is one piece. */
export const textOf = (tokens: number) => Array.from({ length: tokens - 2 }, () => 'dog').join(' ');

interface Timed {
  wall: number;
  cpu: number;
}

/** One action's wall and CPU milliseconds. */
async function timed(cpu: () => number, action: () => Promise<unknown>): Promise<Timed> {
  const [start, before] = [performance.now(), cpu()];
  await action();
  return { wall: performance.now() - start, cpu: cpu() - before };
}

export interface TextOptions {
  manifest: ModelManifest;
  runs: number;
  shapes: Shape[];
}

export async function measureTexts(
  { own, web }: { own: Server; web: Server | undefined },
  { manifest, runs, shapes }: TextOptions,
) {
  const inNode = await nodeSession(manifest);
  const servers = web ? [own, web] : [own];
  const bodyOf = ({ rows, tokens }: Shape) => ({ input: Array.from({ length: rows }, () => textOf(tokens)) });
  const noop = ({ url }: Server) => fetch(`${url}/health/live`).then((response) => response.arrayBuffer());
  const on = (server: Server, action: () => Promise<unknown>) => timed(() => cpuMs(server.pid), action);

  const turns = async (shape: Shape) => ({
    shape,
    noop: await on(own, () => noop(own)),
    workerd: await on(own, () => own.embed(bodyOf(shape))),
    node: await timed(ownCpuMs, () => inNode(shape)),
    web: web && { noop: await on(web, () => noop(web)), embed: await on(web, () => web.embed(bodyOf(shape))) },
  });

  for (const { embed } of servers) await warmUp(runs, () => embed(bodyOf({ rows: 1, tokens: 8 })));
  const taken = await inRounds(runs, async () => {
    const round: Awaited<ReturnType<typeof turns>>[] = [];
    for (const shape of shapes) round.push(await turns(shape));
    return round;
  });

  const all = taken.flat();
  const empty = medians(all.map(({ noop }) => noop));
  const texts = shapes.map((shape): TextFigures => {
    const of = all.filter((each) => each.shape === shape);
    const [workerd, node] = [medians(of.map((each) => each.workerd)), medians(of.map((each) => each.node))];
    const ratioOf = (one: (round: (typeof of)[number]) => number) => median(of.map(one));
    return {
      ...shape,
      workerd_ms: workerd.wall,
      node_ms: node.wall,
      ratio: ratioOf((round) => round.workerd.wall / round.node.wall),
      net_ratio: ratioOf((round) => (round.workerd.wall - empty.wall) / round.node.wall),
      workerd_cpu_ms: workerd.cpu - empty.cpu,
      node_cpu_ms: node.cpu,
      cpu_ratio: ratioOf((round) => (round.workerd.cpu - empty.cpu) / round.node.cpu),
      ...besideWeb(of, empty),
    };
  });
  return { texts, noop_ms: empty.wall, noop_cpu_ms: empty.cpu };
}

/** Of rounds in which the Worker with another engine had its turn, too. */
function besideWeb(rounds: { workerd: Timed; web: { noop: Timed; embed: Timed } | undefined }[], empty: Timed) {
  const both = rounds.flatMap(({ workerd, web }) => (web ? [{ workerd, web: web.embed, noop: web.noop }] : []));
  if (both.length === 0) return {};
  const nothing = medians(both.map(({ noop }) => noop)).cpu;
  const web = medians(both.map((each) => each.web));
  const web_cpu_ratio = median(both.map((each) => (each.workerd.cpu - empty.cpu) / (each.web.cpu - nothing)));
  return { web_ms: web.wall, web_cpu_ms: web.cpu - nothing, web_cpu_ratio };
}

/** Runs equal rows in one batch through onnxruntime-node with one thread. */
async function nodeSession(manifest: ModelManifest): Promise<(shape: Shape) => Promise<void>> {
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(join(EMBEDDED_MODEL, manifest.text.graph.file.path), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const { width } = manifest.text.table;
  return async ({ rows, tokens }) => {
    const embeds = new Float32Array(rows * tokens * width).fill(0.05);
    await session.run({
      inputs_embeds: new ort.Tensor('float32', embeds, [rows, tokens, width]),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(rows * tokens).fill(1n), [rows, tokens]),
    });
  };
}

export interface StaticFigures {
  tokens: number;
  us_per_text: number;
  cpu_us_per_text: number;
}

/** Many texts in one request against none in one: what is left has no HTTP in it. */
export async function measureStatic({ url, pid }: Server, tokens: number, runs: number): Promise<StaticFigures> {
  const times = 4000;
  const body = textOf(tokens + 2);
  const ask = (count: number) =>
    timed(
      () => cpuMs(pid),
      async () => (await fetch(`${url}/bench/static?times=${count}`, { method: 'POST', body })).json(),
    );
  const taken = await inRounds(runs, async () => ({ many: await ask(times), none: await ask(0) }));
  const [full, empty] = [medians(taken.map(({ many }) => many)), medians(taken.map(({ none }) => none))];
  const us = (ms: number) => (ms * 1000) / times;
  return { tokens, us_per_text: us(full.wall - empty.wall), cpu_us_per_text: us(full.cpu - empty.cpu) };
}
