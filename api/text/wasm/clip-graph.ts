// The graph of an imported CLIP or SigLIP, as trainer/exchange/incoming/clip_text.py writes it: layers that normalise what
// they read, a causal mask or padding that is seen, and the state of one place.
import {
  type Activation,
  floats,
  type GraphFacts,
  type GraphKind,
  layerWeights,
  linearNode,
  normNode,
  normWeights,
} from './text-graph.ts';

/** Operators between the products of a layer's second half. */
const ACTIVATIONS: Record<Activation, string> = { gelu: 'Gelu', gelu_tanh: 'FastGelu', quick_gelu: 'QuickGelu' };

/** Of QuickGelu: x σ(1.702 x), as float32 has the number. */
const ALPHA = Math.fround(1.702);

export const CLIP: GraphKind = {
  name: 'an imported CLIP',

  shapeOf(facts) {
    const { has, count, sizes, attribute, source } = facts;
    const [tokens = 0, width = 0] = sizes('positions.weight');
    const [, output = 0] = sizes('projection.weight');
    const [, hidden = 0] = sizes('block0.up.weight');
    const padded = has('padding.rows');
    return {
      layers: count('MultiHeadAttention'),
      heads: attribute('MultiHeadAttention', 'num_heads'),
      input: width,
      width,
      hidden,
      output,
      tokens,
      epsilon: attribute('LayerNormalization', 'epsilon'),
      activation: activationOf(facts),
      preNorm: true,
      causal: !padded,
      padded,
      pooling: source('last') === 'whole' ? 'last' : 'token',
      biased: has('projection.bias'),
    };
  },

  attributesOf: ({ heads, epsilon, causal }) => [
    { op: 'MultiHeadAttention', attribute: 'num_heads', value: heads },
    { op: 'MultiHeadAttention', attribute: 'unidirectional', value: causal ? 1 : undefined },
    { op: 'LayerNormalization', attribute: 'epsilon', value: epsilon },
    { op: 'QuickGelu', attribute: 'alpha', value: ALPHA },
  ],

  nodesOf({ layers, padded, pooling, activation, biased: moved }) {
    const lines = ['Shape(inputs_embeds) -> length'];
    const rows = padded ? 'padded' : 'inputs_embeds';
    if (padded) {
      lines.push('Slice(padding.rows,length,context,one) -> padding', 'Concat(inputs_embeds,padding) -> padded');
    }
    lines.push(
      `Shape(${rows}) -> whole`,
      'Slice(positions.weight,zero,whole,zero) -> positions',
      `Add(${rows},positions) -> embedded`,
    );
    let x = 'embedded';
    for (let number = 0; number < layers; number++) {
      const b = `block${number}`;
      lines.push(
        normNode(x, `${b}.norm1`),
        linearNode(`${b}.norm1`, `${b}.qkv`),
        `Split(${b}.qkv) -> ${b}.q,${b}.q.1,${b}.q.2`,
        `MultiHeadAttention(${b}.q,${b}.q.1,${b}.q.2) -> ${b}.attended`,
        linearNode(`${b}.attended`, `${b}.out`),
        `Add(${x},${b}.out) -> ${b}.sum1`,
        normNode(`${b}.sum1`, `${b}.norm2`),
        linearNode(`${b}.norm2`, `${b}.up`),
        `${ACTIVATIONS[activation]}(${b}.up) -> ${b}.gelu`,
        linearNode(`${b}.gelu`, `${b}.down`),
        `Add(${b}.sum1,${b}.down) -> ${b}.sum2`,
      );
      x = `${b}.sum2`;
    }
    return [
      ...lines,
      `Sub(${pooling === 'last' ? 'whole' : 'length'},one) -> last`,
      `Gather(${x},last) -> gathered`,
      'Squeeze(gathered,one) -> state',
      normNode('state', 'norm'),
      'MatMul(norm,projection.weight) -> projected',
      ...(moved ? ['Add(projected,projection.bias) -> moved'] : []),
      `ReduceL2(${moved ? 'moved' : 'projected'},one) -> norm.length`,
      `Div(${moved ? 'moved' : 'projected'},norm.length) -> embedding`,
    ];
  },

  *weightsOf(shape) {
    const { width, output, tokens, padded, biased } = shape;
    yield floats('positions.weight', tokens, width);
    if (padded) yield floats('padding.rows', 1, tokens, width);
    yield* layerWeights(shape);
    yield* normWeights('norm', width);
    yield floats('projection.weight', width, output);
    if (biased) yield floats('projection.bias', output);
  },
};

function activationOf({ count }: GraphFacts): Activation {
  const found = Object.entries(ACTIVATIONS).find(([, op]) => count(op) > 0);
  return (found?.[0] ?? 'gelu') as Activation;
}
