// The graph of a student, as trainer/towers/onnx_export.py writes it: layers that normalise what they write, and a mean.
import { floats, type GraphKind, layerWeights, linearNode, normNode, normWeights } from './text-graph.ts';

export const STUDENT: GraphKind = {
  name: 'a student',

  shapeOf({ has, count, sizes, attribute }) {
    const [tokens = 0, width = 0] = sizes('positions.weight');
    const [, output = 0] = sizes('projection.weight');
    const [, hidden = 0] = sizes('block0.up.weight');
    const [input = 0] = has('widen.weight') ? sizes('widen.weight') : [width];
    return {
      layers: count('MultiHeadAttention'),
      heads: attribute('MultiHeadAttention', 'num_heads'),
      input,
      width,
      hidden,
      output,
      tokens,
      epsilon: attribute('LayerNormalization', 'epsilon'),
      activation: 'gelu',
      preNorm: false,
      causal: false,
      padded: false,
      pooling: 'mean',
      biased: true,
    };
  },

  attributesOf: ({ heads, epsilon }) => [
    { op: 'MultiHeadAttention', attribute: 'num_heads', value: heads },
    { op: 'MultiHeadAttention', attribute: 'unidirectional', value: undefined },
    { op: 'LayerNormalization', attribute: 'epsilon', value: epsilon },
  ],

  nodesOf({ layers }, { has }) {
    const widened = has('widen.weight');
    const lines = ['Shape(inputs_embeds) -> length', 'Slice(positions.weight,zero,length,zero) -> positions'];
    if (widened) lines.push('MatMul(inputs_embeds,widen.weight) -> widened');
    lines.push(`Add(${widened ? 'widened' : 'inputs_embeds'},positions) -> embedded`, normNode('embedded', 'norm'));
    lines.push('Cast(attention_mask) -> mask');
    let x = 'norm';
    for (let number = 0; number < layers; number++) {
      const b = `block${number}`;
      lines.push(
        linearNode(x, `${b}.qkv`),
        `Split(${b}.qkv) -> ${b}.q,${b}.q.1,${b}.q.2`,
        `MultiHeadAttention(${b}.q,${b}.q.1,${b}.q.2,,mask) -> ${b}.attended`,
        linearNode(`${b}.attended`, `${b}.out`),
        `Add(${x},${b}.out) -> ${b}.sum1`,
        normNode(`${b}.sum1`, `${b}.norm1`),
        linearNode(`${b}.norm1`, `${b}.up`),
        `Gelu(${b}.up) -> ${b}.gelu`,
        linearNode(`${b}.gelu`, `${b}.down`),
        `Add(${b}.norm1,${b}.down) -> ${b}.sum2`,
        normNode(`${b}.sum2`, `${b}.norm2`),
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
  },

  *weightsOf(shape, { has }) {
    const { input, width, output, tokens } = shape;
    yield floats('positions.weight', tokens, width);
    if (has('widen.weight')) yield floats('widen.weight', input, width);
    yield* normWeights('norm', width);
    yield* layerWeights(shape);
    yield floats('projection.weight', width, output);
    yield floats('projection.bias', output);
  },
};
