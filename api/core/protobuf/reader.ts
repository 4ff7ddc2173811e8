// Reads protocol buffers, which ONNX graphs and SentencePiece's vocabularies are: https://protobuf.dev/programming-guides/encoding.

/** A number where the wire type is a varint, else the bytes of the field, also where it has 4 or 8 of them. */
export type Value = number | Uint8Array;

/** `file`: what messages call the file. */
export function protobufReader(file: string) {
  /** Bytes are views of `bytes`. */
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
      if (length === undefined) throw new Error(`this is no ${file}: a field has an unknown wire type`);
      const size = length < 0 ? varint(bytes, at) : length;
      if (at.position + size > bytes.length) throw new Error(`the ${file} ends within a field`);
      yield [tag >>> 3, bytes.subarray(at.position, at.position + size)];
      at.position += size;
    }
  }

  /** Up to 2^53 exactly; negative numbers, which no size has, come out large. */
  function varint(bytes: Uint8Array, at: { position: number }): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at.position++];
      if (byte === undefined) throw new Error(`the ${file} ends within a number`);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  /** Numbers that stand one after the other without tags. */
  function varintsIn(bytes: Uint8Array): number[] {
    const at = { position: 0 };
    const numbers: number[] = [];
    while (at.position < bytes.length) numbers.push(varint(bytes, at));
    return numbers;
  }

  function numberIn(value: Value): number {
    if (typeof value !== 'number') throw new Error(`a field of the ${file} is not a number`);
    return value;
  }

  function bytesIn(value: Value): Uint8Array {
    if (typeof value === 'number') throw new Error(`a field of the ${file} is a number and has no bytes`);
    return value;
  }

  /** Of 4 bytes, lowest first, as every processor that runs this has them. */
  function floatIn(value: Value): number {
    return new Float32Array(bytesIn(value).slice().buffer)[0] ?? Number.NaN;
  }
  return { fieldsOf, varintsIn, numberIn, bytesIn, floatIn };
}
