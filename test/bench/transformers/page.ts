// The page of `npm run bench:engines -- --transformers`: texts of a model by transformers.js and by our own engine.
import { dot } from '../../../api/core/vectors/vectors.ts';
import type { Encode } from '../../../api/text/engine.ts';
import { openTable } from '../../../api/text/table.ts';
import { createWasmEngine } from '../../../api/text/wasm/engine.ts';
import { chooseBuild } from '../../../api/text/wasm/modules.ts';
import type { TextTower } from '../../../contracts/src/model/manifest.ts';

/** What is used of transformers.js. */
interface Transformers {
  env: {
    allowLocalModels: boolean;
    allowRemoteModels: boolean;
    localModelPath: string;
    useBrowserCache: boolean;
    useWasmCache: boolean;
    backends: { onnx: { wasm: { numThreads: number; wasmPaths: object } } };
  };
  AutoModel: { from_pretrained(model: string, options: object): Promise<(inputs: object) => Promise<Outputs>> };
  Tensor: new (type: string, data: ArrayLike<number> | BigInt64Array, dims: number[]) => object;
}
interface Outputs {
  /** Of our own graph. */
  embedding?: { data: Float32Array };
  /** Of BERT. */
  last_hidden_state?: { data: Float32Array };
}

export interface Asked {
  tower: TextTower;
  /** File names of onnxruntime-web's build. */
  wasmPaths: { mjs: string; wasm: string };
}

const engines = new Map<string, Encode>();

export async function open({ tower, wasmPaths }: Asked): Promise<void> {
  engines.set('own', await openOwn(tower));
  const transformers = await loadTransformers(wasmPaths);
  engines.set('graph', await openGraph(transformers, tower));
  engines.set('bert', await openBert(transformers));
}

/** Computes texts one after the other, a text a call, and answers with the milliseconds that a call took. */
export async function run(engine: string, texts: number[][]): Promise<number> {
  const encode = encodeOf(engine);
  const started = performance.now();
  for (const ids of texts) await encode([ids]);
  return (performance.now() - started) / texts.length;
}

/** The cosine of our vector of a text and that of our graph in transformers.js. */
export async function compare(ids: number[]): Promise<number> {
  const [own] = await encodeOf('own')([ids]);
  const [other] = await encodeOf('graph')([ids]);
  if (!own || !other) throw new Error('a text has no vector');
  return dot(own, other);
}

function encodeOf(engine: string): Encode {
  const encode = engines.get(engine);
  if (!encode) throw new Error(`${engine} is not open`);
  return encode;
}

const read = async ({ path }: { path: string }) => (await fetch(`/model/${path}`)).arrayBuffer();

/** As the page of this service has it with ?local=1. */
async function openOwn(tower: TextTower): Promise<Encode> {
  const file = chooseBuild({ relaxed: '/own/encoder.relaxed.wasm', plain: '/own/encoder.wasm' });
  const module = await WebAssembly.compileStreaming(fetch(file));
  return (await createWasmEngine({ module }).open(tower, read)).encode;
}

async function loadTransformers(wasmPaths: Asked['wasmPaths']): Promise<Transformers> {
  // By the page's import map.
  const name = '@huggingface/transformers';
  const transformers: Transformers = await import(name);
  const { env } = transformers;
  Object.assign(env, {
    allowLocalModels: true,
    allowRemoteModels: false,
    localModelPath: '/models/',
    useBrowserCache: false,
    useWasmCache: false,
  });
  Object.assign(env.backends.onnx.wasm, { numThreads: 1, wasmPaths });
  return transformers;
}

const OPTIONS = { dtype: 'q8', device: 'wasm' };

async function openGraph({ AutoModel, Tensor }: Transformers, tower: TextTower): Promise<Encode> {
  const { weights } = tower.graph;
  const externalData = weights && [{ path: weights.name, data: `onnx/${weights.name}` }];
  const model = await AutoModel.from_pretrained('student', { ...OPTIONS, session_options: { externalData } });
  const table = openTable(tower.table, await read(tower.table.file));
  const { width } = table;
  return eachOf(async (ids) => {
    const rows = new Float32Array(ids.length * width);
    for (const [at, id] of ids.entries()) table.addRow(id, rows, { at: at * width });
    const { embedding } = await model({
      inputs_embeds: new Tensor('float32', rows, [1, ids.length, width]),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
    });
    return embedding?.data;
  });
}

/** Its states, not pooled. */
async function openBert({ AutoModel, Tensor }: Transformers): Promise<Encode> {
  const model = await AutoModel.from_pretrained('bert', OPTIONS);
  return eachOf(async (ids) => {
    const shape = [1, ids.length];
    const { last_hidden_state } = await model({
      input_ids: new Tensor('int64', BigInt64Array.from(ids, BigInt), shape),
      attention_mask: new Tensor('int64', new BigInt64Array(ids.length).fill(1n), shape),
      token_type_ids: new Tensor('int64', new BigInt64Array(ids.length), shape),
    });
    return last_hidden_state?.data;
  });
}

const eachOf =
  (encode: (ids: number[]) => Promise<Float32Array | undefined>): Encode =>
  async (texts) => {
    const vectors: Float32Array[] = [];
    for (const ids of texts) {
      const vector = await encode(ids);
      if (!vector) throw new Error('transformers.js answered without what was asked for');
      vectors.push(vector);
    }
    return vectors;
  };
