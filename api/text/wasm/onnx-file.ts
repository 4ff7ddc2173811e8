// Reads what a text engine needs of an ONNX file: nodes with their attributes, and weights, in the file or beside it.
import { protobufReader, type Value } from '../../core/protobuf/reader.ts';

export interface OnnxNode {
  op: string;
  inputs: string[];
  outputs: string[];
  /** Numbers among its attributes. */
  attributes: Map<string, number>;
}

export interface OnnxTensor extends TensorBytes {
  dims: number[];
  /** TensorProto.DataType. */
  type: number;
}

/** Where the bytes of a tensor are. */
export interface TensorBytes {
  /** Empty where they are in the file of weights. */
  bytes: Uint8Array;
  /** Where in the file of weights they are; absent: in this one. */
  outside: { start: number; length: number } | undefined;
}

export interface OnnxFile {
  nodes: OnnxNode[];
  tensors: Map<string, OnnxTensor>;
}

/** Numbers of the fields in onnx.proto. */
const MODEL = { graph: 7 };
const GRAPH = { node: 1, initializer: 5 };
const NODE = { input: 1, output: 2, op_type: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, f: 2, i: 3 };
const TENSOR = { dims: 1, data_type: 2, name: 8, raw_data: 9, external_data: 13 };
const ENTRY = { key: 1, value: 2 };

const { fieldsOf, varintsIn, numberIn, bytesIn, floatIn } = protobufReader('ONNX file');

/** Throws where the file ends too early. */
export function readOnnx(file: Uint8Array): OnnxFile {
  const found: OnnxFile = { nodes: [], tensors: new Map() };
  for (const [field, graph] of fieldsOf(file)) {
    if (field !== MODEL.graph) continue;
    for (const [part, value] of fieldsOf(bytesIn(graph))) {
      if (part === GRAPH.node) found.nodes.push(readNode(bytesIn(value)));
      if (part === GRAPH.initializer) {
        const { name, tensor } = readTensor(bytesIn(value));
        found.tensors.set(name, tensor);
      }
    }
  }
  return found;
}

function readNode(bytes: Uint8Array): OnnxNode {
  const node: OnnxNode = { op: '', inputs: [], outputs: [], attributes: new Map() };
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === NODE.input) node.inputs.push(textIn(value));
    if (field === NODE.output) node.outputs.push(textIn(value));
    if (field === NODE.op_type) node.op = textIn(value);
    if (field === NODE.attribute) {
      const { name, number } = readAttribute(bytesIn(value));
      if (number !== undefined) node.attributes.set(name, number);
    }
  }
  return node;
}

/** `number`: absent where the attribute is something else. */
function readAttribute(bytes: Uint8Array): { name: string; number: number | undefined } {
  let name = '';
  let number: number | undefined;
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === ATTRIBUTE.name) name = textIn(value);
    if (field === ATTRIBUTE.f) number = floatIn(value);
    if (field === ATTRIBUTE.i) number = numberIn(value);
  }
  return { name, number };
}

function readTensor(bytes: Uint8Array): { name: string; tensor: OnnxTensor } {
  let name = '';
  const tensor: OnnxTensor = { dims: [], type: 0, bytes: new Uint8Array(), outside: undefined };
  const outside = new Map<string, string>();
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === TENSOR.name) name = textIn(value);
    if (field === TENSOR.data_type) tensor.type = numberIn(value);
    if (field === TENSOR.raw_data) tensor.bytes = bytesIn(value);
    if (field === TENSOR.dims) tensor.dims.push(...(typeof value === 'number' ? [value] : varintsIn(value)));
    if (field === TENSOR.external_data) {
      const entry = new Map([...fieldsOf(bytesIn(value))].map(([part, text]) => [part, textIn(text)]));
      outside.set(entry.get(ENTRY.key) ?? '', entry.get(ENTRY.value) ?? '');
    }
  }
  if (outside.size > 0) {
    tensor.outside = { start: Number(outside.get('offset') ?? 0), length: Number(outside.get('length')) };
  }
  return { name, tensor };
}

/** The bytes of a tensor. `weights`: the file of weights, if the graph has one. */
export function bytesOf({ bytes, outside }: TensorBytes, weights: Uint8Array | undefined): Uint8Array {
  if (!outside) return bytes;
  const end = outside.start + outside.length;
  if (!weights || end > weights.length) throw new Error('the file of weights ends before those that the graph names');
  return weights.subarray(outside.start, end);
}

/** Names are compared with ASCII ones only. A decoder takes ten times as long for a text of so few bytes. */
const textIn = (value: Value): string => String.fromCharCode.apply(undefined, bytesIn(value) as unknown as number[]);
