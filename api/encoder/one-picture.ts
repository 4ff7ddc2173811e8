// An image graph for one picture a run. Exported graphs leave the number of pictures open, and with it ONNX Runtime computes the padding
// of strided convolutions anew in every run, and lays what they read out in another order and back: a quarter of the time.
import { protobufReader } from '../core/protobuf/reader.ts';

const { fieldsOf, bytesIn } = protobufReader('ONNX file');

/** Numbers of the fields in onnx.proto, from the model to the first size of its first input. */
const WAY = { graph: 7, input: 11, type: 2, tensor: 1, shape: 2, size: 1 };
const SIZE = { value: 1, name: 2 };
/** A varint has no more bytes. */
const VARINT_BYTES = 10;

/** Writes 1 over the name that stands for the number of pictures, where there is one that is not too long: without it a graph runs one as well. */
export function fixOnePicture(graph: Uint8Array): void {
  let place: Uint8Array | undefined = graph;
  for (const field of Object.values(WAY)) place = place && firstOf(place, field);
  if (place?.[0] !== SIZE.name * 8 + 2 || place[1] !== place.length - 2 || place.length > VARINT_BYTES + 1) return;
  // As long as the name was, so that nothing else moves: a number has seven bits a byte, the lowest first, and zeros behind them.
  const number = place.subarray(1).fill(0x80);
  number.set([number.length > 1 ? 0x81 : 1]);
  if (number.length > 1) number.set([0], number.length - 1);
  place[0] = SIZE.value * 8;
}

/** A view of the first such field. */
function firstOf(message: Uint8Array, wanted: number): Uint8Array | undefined {
  for (const [field, value] of fieldsOf(message)) if (field === wanted) return bytesIn(value);
  return undefined;
}
