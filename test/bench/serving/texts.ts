// Texts in workerd over HTTP, beside onnxruntime-node with one thread on the same weights and beside the same Worker with
// another engine, in turns.
import { join } from 'node:path';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { cpuMs, median, ownCpuMs } from '../process.ts';
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
  /** Medians of what a client waits, HTTP included. */
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

/** WebAssembly is compiled again, better, while it runs: after this many short texts nothing more is gained. */
const WARM_UP = 120;

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

  for (const { embed } of servers)
    for (let i = 0; i < (runs > 1 ? WARM_UP : 1); i++) await embed(bodyOf({ rows: 1, tokens: 8 }));
  const all = shapes.map((shape) => ({ shape, workerd: [] as Timed[], web: [] as Timed[], node: [] as Timed[] }));
  const [noops, webNoops]: [Timed[], Timed[]] = [[], []];
  for (let run = runs > 1 ? -2 : 0; run < runs; run++) {
    for (const { shape, ...times } of all) {
      const taken = [
        await on(own, () => noop(own)),
        await on(own, () => own.embed(bodyOf(shape))),
        await timed(ownCpuMs, () => inNode(shape)),
      ] as const;
      const beside = web && [await on(web, () => noop(web)), await on(web, () => web.embed(bodyOf(shape)))];
      if (run < 0) continue;
      noops.push(taken[0]);
      times.workerd.push(taken[1]);
      times.node.push(taken[2]);
      if (!beside?.[0] || !beside[1]) continue;
      webNoops.push(beside[0]);
      times.web.push(beside[1]);
    }
  }

  const empty = middle(noops);
  const texts = all.map(({ shape, ...times }): TextFigures => {
    const [workerd, node] = [middle(times.workerd), middle(times.node)];
    const workerd_cpu_ms = workerd.cpu - empty.cpu;
    return {
      ...shape,
      workerd_ms: workerd.wall,
      node_ms: node.wall,
      ratio: workerd.wall / node.wall,
      net_ratio: (workerd.wall - empty.wall) / node.wall,
      workerd_cpu_ms,
      node_cpu_ms: node.cpu,
      cpu_ratio: workerd_cpu_ms / node.cpu,
      ...(web ? besideWeb(workerd_cpu_ms, { web: middle(times.web), empty: middle(webNoops) }) : {}),
    };
  });
  return { texts, noop_ms: empty.wall, noop_cpu_ms: empty.cpu };
}

function besideWeb(own_cpu_ms: number, { web, empty }: { web: Timed; empty: Timed }) {
  const web_cpu_ms = web.cpu - empty.cpu;
  return { web_ms: web.wall, web_cpu_ms, web_cpu_ratio: own_cpu_ms / web_cpu_ms };
}

function middle(times: Timed[]): Timed {
  return { wall: median(times.map(({ wall }) => wall)), cpu: median(times.map(({ cpu }) => cpu)) };
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
  const [many, none]: [Timed[], Timed[]] = [[], []];
  for (let run = runs > 1 ? -2 : 0; run < runs; run++) {
    const taken = [await ask(times), await ask(0)] as const;
    if (run < 0) continue;
    many.push(taken[0]);
    none.push(taken[1]);
  }
  const [full, empty] = [middle(many), middle(none)];
  const us = (ms: number) => (ms * 1000) / times;
  return { tokens, us_per_text: us(full.wall - empty.wall), cpu_us_per_text: us(full.cpu - empty.cpu) };
}
