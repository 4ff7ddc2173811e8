// `npm run bench`: latency of texts in workerd beside onnxruntime-node on the same weights, and the image encoder's rate.
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleWorker, EMBEDDED_MODEL } from '../../api/bundle.ts';
import { startWorker } from '../../api/serve.ts';
import { ModelManifest } from '../../contracts/src/manifest.ts';
import { measureEncoder } from './encoder.ts';

const HELP = `Usage: npm run bench [-- --json] [--runs N]

Milliseconds are medians of N requests (default 20) after as many to warm up, over HTTP on this machine; the same texts
run through onnxruntime-node with one thread in the same minute, and the ratio of the two is what to compare.
`;
const { values } = parseArgs({
  options: { json: { type: 'boolean' }, help: { type: 'boolean' }, runs: { type: 'string', default: '20' } },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const RUNS = Number(values.runs);
const manifest = ModelManifest.parse(JSON.parse(readFileSync(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')));
/** A text of exactly this many tokens, [CLS] and [SEP] included: "dog" is one piece. */
const textOf = (tokens: number) => Array.from({ length: tokens - 2 }, () => 'dog').join(' ');

/** Median milliseconds of an action. */
async function median(action: () => Promise<void>, runs = RUNS): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < 2 * runs; run++) {
    const start = performance.now();
    await action();
    if (run >= runs) times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}

/** Runs a batch of equal rows of `tokens` tokens through onnxruntime-node with one thread. */
async function nodeSession(): Promise<(rows: number, tokens: number) => Promise<void>> {
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(join(EMBEDDED_MODEL, manifest.text.graph.file.path), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const { width } = manifest.text.table;
  return async (rows, tokens) => {
    await session.run({
      inputs_embeds: new ort.Tensor('float32', new Float32Array(rows * tokens * width).fill(0.05), [
        rows,
        tokens,
        width,
      ]),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(rows * tokens).fill(1n), [rows, tokens]),
    });
  };
}

const cold = performance.now();
const worker = await startWorker({ model: EMBEDDED_MODEL, port: 0, encoderUrl: 'http://127.0.0.1:1' });
const url = (await worker.ready).origin;
const post = async (body: object) => {
  const response = await fetch(`${url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ types: ['base64'], ...body }),
  });
  if (!response.ok) throw new Error(await response.text());
  await response.arrayBuffer();
};
await post({ input: 'a dog' });
const firstRequest = performance.now() - cold;

const inNode = await nodeSession();
const texts = [];
for (const [rows, tokens] of [
  [1, 8],
  [1, 16],
  [1, 77],
  [1, 256],
  [1, 512],
  [8, 16],
] as const) {
  const input = Array.from({ length: rows }, () => textOf(tokens));
  const workerd_ms = await median(() => post({ input }));
  const node_ms = await median(() => inNode(rows, tokens));
  texts.push({ rows, tokens, workerd_ms, node_ms, ratio: workerd_ms / node_ms });
}
const noop_ms = await median(async () => void (await (await fetch(`${url}/health/live`)).arrayBuffer()));
const static_ms = await median(() => post({ input: textOf(16), model: `${manifest.name}-static` }));
await worker.dispose();
const modules = await bundleWorker({ minify: true });
const result = {
  machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version },
  model: `${manifest.name} ${manifest.version}`,
  first_request_ms: firstRequest,
  noop_ms,
  static_16_tokens_ms: static_ms,
  texts,
  bundle_bytes: modules.reduce((sum, { contents }) => sum + Buffer.byteLength(contents), 0),
  images: await measureEncoder(EMBEDDED_MODEL, 5),
};
if (values.json) console.log(JSON.stringify(result, null, 2));
else {
  console.log(`${result.model} on ${result.machine.cpu}, Node ${result.machine.node}`);
  console.log(`start to first answer ${firstRequest.toFixed(0)} ms; empty request ${noop_ms.toFixed(2)} ms`);
  for (const { rows, tokens, workerd_ms, node_ms, ratio } of texts) {
    console.log(
      `${rows} x ${tokens} tokens: ${workerd_ms.toFixed(1)} ms in workerd, ${node_ms.toFixed(1)} ms in Node, x${ratio.toFixed(1)}`,
    );
  }
  console.log(`static tier, 16 tokens: ${static_ms.toFixed(2)} ms over HTTP`);
  console.log(
    `bundle ${(result.bundle_bytes / 2 ** 20).toFixed(1)} MiB; images a second a core: ${JSON.stringify(result.images)}`,
  );
}
