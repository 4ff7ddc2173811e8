// Reads from a graph of `export` or `import` what this engine needs: the sizes of the text tower, and its weights by name.
import type { OnnxFile, OnnxTensor } from './onnx-file.ts';

export interface TowerShape {
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
  activation: Activation;
  /** Whether a layer normalises what it reads, and the tower what it pools; else a layer normalises what it writes. */
  preNorm: boolean;
  /** Whether a token sees no later one. */
  causal: boolean;
  /** Whether a text is filled up to `tokens` with rows of padding, which it sees. */
  padded: boolean;
  /** What becomes a vector: the mean of a text's states, the state of its last token, or the last state, padding included. */
  pooling: 'mean' | 'token' | 'last';
  /** Whether the projection has a bias. */
  biased: boolean;
}

export type Activation = 'gelu' | 'gelu_tanh' | 'quick_gelu';

/** A kind of graph: what its nodes and weights have to be for these sizes. A graph that differs computes something else. */
export interface GraphKind {
  /** As a sentence may name it. */
  name: string;
  shapeOf(file: GraphFacts): TowerShape;
  nodesOf(shape: TowerShape, file: GraphFacts): string[];
  weightsOf(shape: TowerShape, file: GraphFacts): Iterable<Expected>;
  /** Attributes whose value decides the computation: of every node with that operator the value that it must have. */
  attributesOf(shape: TowerShape): { op: string; attribute: string; value: number | undefined }[];
}

/** What a kind asks of a file. */
export interface GraphFacts {
  has(weight: string): boolean;
  /** Nodes of that operator. */
  count(op: string): number;
  /** Dimensions of a weight; none where there is no such weight. */
  sizes(weight: string): number[];
  /** A number among the attributes of the first node with that operator; 0 where there is none. */
  attribute(op: string, name: string): number;
  /** The first input of the node that makes this. */
  source(output: string): string | undefined;
}

export interface Expected {
  name: string;
  type: 'float32' | 'uint8';
  dims: number[];
}

const [FLOAT, UINT8] = [1, 2];
/** Of uint8 weights, which stand for whole numbers around it. */
const ZERO_POINT = 128;

/** `other`, with a reason to print, where the graph is of another kind. */
export function readGraph(file: OnnxFile, kind: GraphKind): TowerShape | { other: string } {
  const { nodes, tensors } = file;
  const facts = factsOf(file);
  const shape = kind.shapeOf(facts);
  const expected = kind.nodesOf(shape, facts);
  const wrong = expected.findIndex((line, index) => line !== lineOf(nodes[index]));
  if (shape.layers === 0 || wrong >= 0 || nodes.length !== expected.length) {
    return { other: `its graph is not that of ${kind.name}: node ${wrong < 0 ? expected.length : wrong} differs` };
  }
  for (const { op, attribute, value } of kind.attributesOf(shape)) {
    const differs = nodes.find((node) => node.op === op && node.attributes.get(attribute) !== value);
    if (differs) return { other: `${attribute} of its node ${differs.outputs[0]} is not ${value}` };
  }
  const { width, heads, hidden, output } = shape;
  if ([width / heads, hidden, output].some((size) => size === 0 || size % 8 !== 0)) {
    return { other: `its sizes are not multiples of 8: ${JSON.stringify(shape)}` };
  }
  const faulty = [...kind.weightsOf(shape, facts)].find((each) => !fits(tensors.get(each.name), each));
  if (faulty) return { other: `its weight ${faulty.name} is not ${faulty.type} [${faulty.dims}]` };
  return shape;
}

function factsOf({ nodes, tensors }: OnnxFile): GraphFacts {
  return {
    has: (weight) => tensors.has(weight),
    count: (op) => nodes.filter((node) => node.op === op).length,
    sizes: (weight) => tensors.get(weight)?.dims ?? [],
    attribute: (op, name) => nodes.find((node) => node.op === op)?.attributes.get(name) ?? 0,
    source: (output) => nodes.find(({ outputs }) => outputs[0] === output)?.inputs[0],
  };
}

const lineOf = (node?: { op: string; inputs: string[]; outputs: string[] }): string =>
  node ? `${node.op}(${node.inputs}) -> ${node.outputs}` : '';

function fits(tensor: OnnxTensor | undefined, { type, dims }: Expected): boolean {
  if (!tensor || `${tensor.dims}` !== `${dims}`) return false;
  const count = dims.reduce((product, size) => product * size, 1);
  const bytes = tensor.outside?.length ?? tensor.bytes.length;
  return type === 'float32' ? tensor.type === FLOAT && bytes === count * 4 : tensor.type === UINT8 && bytes === count;
}

/** Sorted, because that is the runtime's own code: to look at each number costs a new isolate milliseconds. */
export function requireZeroPoint(name: string, zeros: Uint8Array): void {
  const sorted = zeros.slice().sort();
  if (sorted[0] === ZERO_POINT && sorted.at(-1) === ZERO_POINT) return;
  throw new Error(`this engine reads weights with zero point ${ZERO_POINT}, and ${name}.zero says otherwise`);
}

// ------------------------------------------------------------------ what kinds have in common

/** Of each layer: name, rows and columns. */
export function matricesOf({ width, hidden }: Pick<TowerShape, 'width' | 'hidden'>) {
  return [
    ['qkv', width, 3 * width],
    ['out', width, width],
    ['up', width, hidden],
    ['down', hidden, width],
  ] as const;
}

export const normNode = (x: string, name: string, output = name): string =>
  `LayerNormalization(${x},${name}.weight,${name}.bias) -> ${output}`;

export const linearNode = (x: string, name: string): string =>
  `DynamicQuantizeMatMul(${x},${name}.weight,${name}.scale,${name}.zero,${name}.bias) -> ${name}`;

export const floats = (name: string, ...dims: number[]): Expected => ({ name, type: 'float32', dims });

export const normWeights = (name: string, width: number): Expected[] => [
  floats(`${name}.weight`, width),
  floats(`${name}.bias`, width),
];

/** The matrices and normalisations of all layers. */
export function* layerWeights(shape: TowerShape): Generator<Expected> {
  for (let number = 0; number < shape.layers; number++) {
    for (const [name, depth, columns] of matricesOf(shape)) {
      const full = `block${number}.${name}`;
      yield { name: `${full}.weight`, type: 'uint8', dims: [depth, columns] };
      yield { name: `${full}.zero`, type: 'uint8', dims: [columns] };
      yield floats(`${full}.scale`, columns);
      yield floats(`${full}.bias`, columns);
    }
    yield* normWeights(`block${number}.norm1`, shape.width);
    yield* normWeights(`block${number}.norm2`, shape.width);
  }
}
