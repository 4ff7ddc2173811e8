// Reads what a text engine needs of an ONNX file: nodes with their attributes, and weights, in the file or beside it.

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

// ------------------------------------------------------------------ protocol buffers

/** A number where the wire type is a varint, else the bytes of the field. */
type Value = number | Uint8Array;

function* fieldsOf(bytes: Uint8Array): Generator<[field: number, value: Value]> {
  const at = { position: 0 };
  while (at.position < bytes.length) {
    const tag = varint(bytes, at);
    const wire = tag & 7;
    if (wire === 0) {
      yield [tag >>> 3, varint(bytes, at)];
      continue;
    }
    const length = { 1: 8, 2: -1, 5: 4 }[wire];
    if (length === undefined) throw new Error('this is no ONNX file: a field has an unknown wire type');
    const size = length < 0 ? varint(bytes, at) : length;
    if (at.position + size > bytes.length) throw new Error('the ONNX file ends within a field');
    yield [tag >>> 3, bytes.subarray(at.position, at.position + size)];
    at.position += size;
  }
}

/** Up to 2^53 exactly; negative numbers, which no shape has, come out large. */
function varint(bytes: Uint8Array, at: { position: number }): number {
  let value = 0;
  for (let factor = 1; ; factor *= 128) {
    const byte = bytes[at.position++];
    if (byte === undefined) throw new Error('the ONNX file ends within a number');
    value += (byte & 127) * factor;
    if (byte < 128) return value;
  }
}

function varintsIn(bytes: Uint8Array): number[] {
  const at = { position: 0 };
  const numbers: number[] = [];
  while (at.position < bytes.length) numbers.push(varint(bytes, at));
  return numbers;
}

function numberIn(value: Value): number {
  if (typeof value !== 'number') throw new Error('a field of the ONNX file is not a number');
  return value;
}

function bytesIn(value: Value): Uint8Array {
  if (typeof value === 'number') throw new Error('a field of the ONNX file is a number and has no bytes');
  return value;
}

/** Names are compared with ASCII ones only. A decoder takes ten times as long for a text of so few bytes. */
const textIn = (value: Value): string => String.fromCharCode.apply(undefined, bytesIn(value) as unknown as number[]);

const floatIn = (value: Value): number | undefined => new Float32Array(bytesIn(value).slice().buffer)[0];
