// The seam of text engines: what the rest of the API knows of a tokenizer and of an engine. Types only.
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';

/** A sequence of token ids, special tokens included where the tier wants them. */
export type TokenIds = number[];

/** `starts[i]` and `ends[i]` bound token i in the original text, in UTF-16 units. */
export interface Tokens {
  ids: TokenIds;
  starts: number[];
  ends: number[];
}

export interface Tokenizer {
  /** Without special tokens. */
  encode(text: string): Tokens;
  /** Special tokens that the student reads around a text; the static tier reads none. */
  special: { before: TokenIds; after: TokenIds };
}

/** The part of an AbortSignal that is needed here; each runtime declares the whole in its own types. */
export interface StopSignal {
  readonly aborted: boolean;
  /** Throws the signal's reason. */
  throwIfAborted(): void;
}

/** Unit vectors of full length, in the order of the inputs. Stops between two texts once `signal` is aborted. */
export type Encode = (inputs: TokenIds[], signal?: StopSignal) => Promise<Float32Array[]>;

/** The bytes of a model's file, already verified against its digest. The caller may detach the buffer. */
export type ReadArtefact = (artefact: Artefact) => Promise<ArrayBuffer>;

/** Runs the student text tower. Another engine is a folder beside `onnx/` and a row of ENGINES. */
export interface TextEngine {
  open(text: ModelManifest['text'], read: ReadArtefact): Promise<OpenTextEngine>;
}

export interface OpenTextEngine {
  encode: Encode;
  /** Releases what was opened; `encode` must not be called any more. */
  close(): Promise<void>;
  /** Bytes of the engine's own memory, which all models it has open share. */
  memoryBytes(): number;
}

/** How an engine shares the thread of its host with other requests. */
export interface Turns {
  /** Lets other requests run. */
  pause(): Promise<void>;
  /** Runs `work` once no other work given to it is running. */
  alone<T>(work: () => Promise<T>): Promise<T>;
}
