// Recognises the graph of a student, as trainer/towers/onnx_export.py writes it, and finds its sizes and weights.
import { bytesOf, type OnnxFile, type OnnxTensor } from './onnx-file.ts';

export interface StudentShape {
  layers: number;
  heads: number;
  /** Numbers of a token's row in the table; `width` of them where there is nothing to widen. */
  input: number;
  /** Numbers of a state between two layers. */
  width: number;
  /** Numbers between the two products of a layer's second half. */
  hidden: number;
  /** Numbers of a vector. */
  output: number;
  /** Tokens of the longest text. */
  tokens: number;
  epsilon: number;
}

/** The bytes of a weight by its name in the graph. */
export type Weight = (name: string) => Uint8Array;

const [FLOAT, UINT8] = [1, 2];
/** Of uint8 weights, which stand for whole numbers around it. */
const ZERO_POINT = 128;

/** `other`, with a reason to print, where the graph is of another kind: this engine computes nothing else. */
export function readStudent({ nodes, tensors }: OnnxFile): StudentShape | { other: string } {
  const layers = nodes.filter(({ op }) => op === 'MultiHeadAttention').length;
  const widened = tensors.has('widen.weight');
  const expected = nodesOf({ layers, widened });
  const wrong = expected.findIndex((line, index) => line !== lineOf(nodes[index]));
  if (layers === 0 || wrong >= 0 || nodes.length !== expected.length) {
    return { other: `its graph is not that of a student: node ${wrong < 0 ? expected.length : wrong} differs` };
  }
  const sizes = (name: string): number[] => tensors.get(name)?.dims ?? [];
  const [tokens = 0, width = 0] = sizes('positions.weight');
  const [, output = 0] = sizes('projection.weight');
  const [, hidden = 0] = sizes('block0.up.weight');
  const [input = 0] = widened ? sizes('widen.weight') : [width];
  const named = (op: string, attribute: string) =>
    new Set(nodes.filter((node) => node.op === op).map(({ attributes }) => attributes.get(attribute)));
  const [heads = 0, ...otherHeads] = named('MultiHeadAttention', 'num_heads');
  const [epsilon = 0, ...otherEpsilons] = named('LayerNormalization', 'epsilon');
  const shape = { layers, heads, input, width, hidden, output, tokens, epsilon };

  if (otherHeads.length + otherEpsilons.length > 0) return { other: 'its layers differ from each other' };
  if ([width / heads, hidden, output].some((size) => size === 0 || size % 8 !== 0)) {
    return { other: `its sizes are not multiples of 8: ${JSON.stringify(shape)}` };
  }
  const faulty = [...weightsOf({ ...shape, widened })].find((each) => !fits(tensors.get(each.name), each));
  if (faulty) return { other: `its weight ${faulty.name} is not ${faulty.type} [${faulty.dims}]` };
  return shape;
}

/** The weights of a graph that `readStudent` read. Throws where they do not stand for numbers around 128. */
export function weightsIn({ tensors }: OnnxFile, file: Uint8Array | undefined): Weight {
  const weight: Weight = (name) => {
    const tensor = tensors.get(name);
    return tensor ? bytesOf(tensor, file) : new Uint8Array();
  };
  const zeros = [...tensors.keys()].filter((name) => name.endsWith('.zero'));
  const other = zeros.find((name) => weight(name).some((value) => value !== ZERO_POINT));
  if (other) throw new Error(`this engine reads weights with zero point ${ZERO_POINT}, and ${other} says otherwise`);
  return weight;
}

const lineOf = (node?: { op: string; inputs: string[]; outputs: string[] }): string =>
  node ? `${node.op}(${node.inputs}) -> ${node.outputs}` : '';

/** Every node in its order: a graph that differs in one of them computes something else. */
function nodesOf({ layers, widened }: { layers: number; widened: boolean }): string[] {
  const norm = (x: string, name: string) => `LayerNormalization(${x},${name}.weight,${name}.bias) -> ${name}`;
  const linear = (x: string, name: string) =>
    `DynamicQuantizeMatMul(${x},${name}.weight,${name}.scale,${name}.zero,${name}.bias) -> ${name}`;
  const lines = ['Shape(inputs_embeds) -> length', 'Slice(positions.weight,zero,length,zero) -> positions'];
  if (widened) lines.push('MatMul(inputs_embeds,widen.weight) -> widened');
  lines.push(`Add(${widened ? 'widened' : 'inputs_embeds'},positions) -> embedded`, norm('embedded', 'norm'));
  lines.push('Cast(attention_mask) -> mask');
  let x = 'norm';
  for (let number = 0; number < layers; number++) {
    const b = `block${number}`;
    lines.push(
      linear(x, `${b}.qkv`),
      `Split(${b}.qkv) -> ${b}.q,${b}.q.1,${b}.q.2`,
      `MultiHeadAttention(${b}.q,${b}.q.1,${b}.q.2,,mask) -> ${b}.attended`,
      linear(`${b}.attended`, `${b}.out`),
      `Add(${x},${b}.out) -> ${b}.sum1`,
      norm(`${b}.sum1`, `${b}.norm1`),
      linear(`${b}.norm1`, `${b}.up`),
      `Gelu(${b}.up) -> ${b}.gelu`,
      linear(`${b}.gelu`, `${b}.down`),
      `Add(${b}.norm1,${b}.down) -> ${b}.sum2`,
      norm(`${b}.sum2`, `${b}.norm2`),
    );
    x = `${b}.norm2`;
  }
  return [
    ...lines,
    'Cast(attention_mask) -> weight',
    'Unsqueeze(weight,last) -> weight.column',
    `Mul(${x},weight.column) -> kept`,
    'ReduceSum(kept,one) -> total',
    'ReduceSum(weight,one) -> count',
    'Div(total,count) -> pooled',
    'Gemm(pooled,projection.weight,projection.bias) -> projected',
    'ReduceL2(projected,one) -> norm.length',
    'Div(projected,norm.length) -> embedding',
  ];
}

// ------------------------------------------------------------------ weights

interface Expected {
  name: string;
  type: 'float32' | 'uint8';
  dims: number[];
}

function* weightsOf({ widened, ...shape }: StudentShape & { widened: boolean }): Generator<Expected> {
  const { layers, input, width, output, tokens } = shape;
  const floats = (name: string, ...dims: number[]): Expected => ({ name, type: 'float32', dims });
  const norm = (name: string) => [floats(`${name}.weight`, width), floats(`${name}.bias`, width)];
  yield floats('positions.weight', tokens, width);
  if (widened) yield floats('widen.weight', input, width);
  yield* norm('norm');
  for (let number = 0; number < layers; number++) {
    for (const [name, depth, columns] of matricesOf(shape)) {
      const full = `block${number}.${name}`;
      yield { name: `${full}.weight`, type: 'uint8', dims: [depth, columns] };
      yield { name: `${full}.zero`, type: 'uint8', dims: [columns] };
      yield floats(`${full}.scale`, columns);
      yield floats(`${full}.bias`, columns);
    }
    yield* norm(`block${number}.norm1`);
    yield* norm(`block${number}.norm2`);
  }
  yield floats('projection.weight', width, output);
  yield floats('projection.bias', output);
}

/** Of each layer: name, rows and columns. */
export function matricesOf({ width, hidden }: Pick<StudentShape, 'width' | 'hidden'>) {
  return [
    ['qkv', width, 3 * width],
    ['out', width, width],
    ['up', width, hidden],
    ['down', hidden, width],
  ] as const;
}

function fits(tensor: OnnxTensor | undefined, { type, dims }: Expected): boolean {
  if (!tensor || `${tensor.dims}` !== `${dims}`) return false;
  const count = dims.reduce((product, size) => product * size, 1);
  const bytes = tensor.outside?.length ?? tensor.bytes.length;
  return type === 'float32' ? tensor.type === FLOAT && bytes === count * 4 : tensor.type === UINT8 && bytes === count;
}
