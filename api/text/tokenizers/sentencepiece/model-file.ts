// Reads a SentencePiece model file: the fields of its protocol buffer that decide which ids a text has.

/** Both runtimes have it; this box sees neither runtime's types. */
declare class TextDecoder {
  decode(bytes: Uint8Array): string;
}

export interface Piece {
  text: string;
  score: number;
  kind: number;
}

/** Kinds of pieces, by their numbers in sentencepiece_model.proto. */
export const KIND = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6, unused: 5 } as const;
const MODELS = { 1: 'unigram', 2: 'bpe' } as const;

export interface ModelFile {
  /** In the order of their ids. */
  pieces: Piece[];
  algorithm: 'unigram' | 'bpe';
  /** Whether characters that the vocabulary lacks are read as the bytes of their UTF-8. */
  byteFallback: boolean;
  /** Rules of normalisation, compiled; empty: a text stays as it is. */
  charsmap: Uint8Array;
  addDummyPrefix: boolean;
  removeExtraWhitespaces: boolean;
}

/** Throws where the file is none, or asks for what is not computed here. */
export function readModelFile(file: Uint8Array): ModelFile {
  const pieces: Piece[] = [];
  const trainer = new Map<number, Field>();
  const normalizer = new Map<number, Field>();
  const parts = new Map([
    [2, trainer],
    [3, normalizer],
  ]);
  for (const field of fieldsOf(file)) {
    if (field.number === 1) pieces.push(readPiece(field.bytes));
    const target = parts.get(field.number);
    if (target) for (const inner of fieldsOf(field.bytes)) target.set(inner.number, inner);
  }
  if (pieces.length === 0) throw new Error('the vocabulary is no SentencePiece model: it has no pieces');
  const algorithm = MODELS[(trainer.get(3)?.value ?? 1) as keyof typeof MODELS];
  if (!algorithm) throw new Error('the SentencePiece model is neither unigram nor bpe');
  const isOn = (fields: Map<number, Field>, number: number, absent: number) =>
    (fields.get(number)?.value ?? absent) !== 0;
  if (isOn(trainer, 24, 0)) throw new Error('the SentencePiece model puts white space at the end of words');
  if (!isOn(normalizer, 5, 1)) throw new Error('the SentencePiece model does not escape white space');
  return {
    pieces,
    algorithm,
    byteFallback: isOn(trainer, 35, 0),
    charsmap: normalizer.get(2)?.bytes ?? new Uint8Array(),
    addDummyPrefix: isOn(normalizer, 3, 1),
    removeExtraWhitespaces: isOn(normalizer, 4, 1),
  };
}

function readPiece(bytes: Uint8Array): Piece {
  const piece: Piece = { text: '', score: 0, kind: KIND.normal };
  for (const field of fieldsOf(bytes)) {
    if (field.number === 1) piece.text = UTF8.decode(field.bytes);
    if (field.number === 2) piece.score = field.value;
    if (field.number === 3) piece.kind = field.value;
  }
  return piece;
}

const UTF8 = new TextDecoder();

interface Field {
  number: number;
  /** Of a number. */
  value: number;
  /** Of a string, bytes or a message. */
  bytes: Uint8Array;
}

/** The encoding: https://protobuf.dev/programming-guides/encoding. */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  /** Numbers of more than 32 bits are no sizes, and nobody reads them here. */
  function varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = view.getUint8(at++);
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }
  while (at < bytes.length) {
    const key = varint();
    const field: Field = { number: key >>> 3, value: 0, bytes: EMPTY };
    const wire = key & 7;
    if (wire === 0) field.value = varint();
    else if (wire === 1) at += 8;
    else if (wire === 2) {
      const size = varint();
      if (at + size > bytes.length) throw new Error('the SentencePiece model ends within a field');
      field.bytes = bytes.subarray(at, at + size);
      at += size;
    } else if (wire === 5) {
      field.value = view.getFloat32(at, true);
      at += 4;
    } else throw new Error('the vocabulary is no SentencePiece model');
    yield field;
  }
}
const EMPTY = new Uint8Array();
