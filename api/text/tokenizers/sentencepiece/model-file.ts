// Reads a SentencePiece model file: the fields of its protocol buffer that decide which ids a text has.
import { protobufReader, type Value } from '../../../core/protobuf/reader.ts';

/** Both runtimes have it; this box sees neither runtime's types. */
declare class TextDecoder {
  constructor(label: 'utf-8', options: { ignoreBOM: boolean });
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

const { fieldsOf, numberIn, bytesIn, floatIn } = protobufReader('SentencePiece model');

/** Throws where the file is none, or asks for what is not computed here. */
export function readModelFile(file: Uint8Array): ModelFile {
  const pieces: Piece[] = [];
  const trainer = new Map<number, Value>();
  const normalizer = new Map<number, Value>();
  const parts = new Map([
    [2, trainer],
    [3, normalizer],
  ]);
  for (const [field, value] of fieldsOf(file)) {
    if (field === 1) pieces.push(readPiece(bytesIn(value)));
    const target = parts.get(field);
    if (target) for (const [part, inner] of fieldsOf(bytesIn(value))) target.set(part, inner);
  }
  if (pieces.length === 0) throw new Error('the vocabulary is no SentencePiece model: it has no pieces');
  const algorithm = MODELS[numberIn(trainer.get(3) ?? 1) as keyof typeof MODELS];
  if (!algorithm) throw new Error('the SentencePiece model is neither unigram nor bpe');
  const isOn = (fields: Map<number, Value>, number: number, absent: number) =>
    numberIn(fields.get(number) ?? absent) !== 0;
  if (isOn(trainer, 24, 0)) throw new Error('the SentencePiece model puts white space at the end of words');
  if (!isOn(normalizer, 5, 1)) throw new Error('the SentencePiece model does not escape white space');
  return {
    pieces,
    algorithm,
    byteFallback: isOn(trainer, 35, 0),
    charsmap: bytesIn(normalizer.get(2) ?? new Uint8Array()),
    addDummyPrefix: isOn(normalizer, 3, 1),
    removeExtraWhitespaces: isOn(normalizer, 4, 1),
  };
}

function readPiece(bytes: Uint8Array): Piece {
  const piece: Piece = { text: '', score: 0, kind: KIND.normal };
  for (const [field, value] of fieldsOf(bytes)) {
    if (field === 1) piece.text = UTF8.decode(bytesIn(value));
    if (field === 2) piece.score = floatIn(value);
    if (field === 3) piece.kind = numberIn(value);
  }
  return piece;
}

/** A byte order mark is a part of the pieces that begin with one, as some of Gemma's do. */
const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });
