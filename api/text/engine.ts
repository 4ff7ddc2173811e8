// The seam of text engines: what the rest of the API knows of a tokenizer and of an engine. Types only.
import type { Artefact, FilePart } from '../../contracts/src/model/artefact.ts';
import type { QuantizedTable, TextTower } from '../../contracts/src/model/manifest.ts';

/** A sequence of token ids, special tokens included where the tier wants them. */
export type TokenIds = number[];

/** `starts[i]` and `ends[i]` bound token i in the original text, in UTF-16 units. */
export interface Tokens {
  ids: TokenIds;
  starts: number[];
  ends: number[];
  /** Of each token, whether it stands for what the vocabulary does not have; absent: those with the id `unknown` do. */
  unknown?: boolean[];
}

export interface Tokenizer {
  /** Without special tokens. */
  encode(text: string): Tokens;
  /** The first place from `from` on where the text may be cut: the tokens of its parts are those of the whole. */
  seam?(text: string, from: number): number;
  /** Special tokens that transformers read around a text; the static tier reads none. */
  special: { before: TokenIds; after: TokenIds };
  /** The entry of the vocabulary with that id. */
  piece(id: number): string;
  /** Id of the token that stands for what the vocabulary does not have. */
  unknown: number;
  /** Whether other tokens spell what the vocabulary does not have, so that every text has a vector of its own. */
  spells?: boolean;
}

/** A request's turn on the thread that it shares with others: its work is cut into blocks, and asks before each of them. */
export interface Turn {
  /**
   * Resolves when the next block may be computed, which is the work of that many tokens; a part of a text counts in part.
   * Others may go first. Rejects once the client has gone, so that nothing further is computed. It is cheap where
   * no other request is there: ask often, every few milliseconds.
   */
  next(tokens: number): Promise<void>;
}

/** Unit vectors of full length, in the order of the inputs. Without `turn` everything is computed at once. */
export type Encode = (inputs: TokenIds[], turn?: Turn) => Promise<Float32Array[]>;

/** The bytes of a model's file, which is the one that the manifest names. The caller may detach the buffer. */
export interface ReadArtefact {
  (artefact: Artefact): Promise<ArrayBuffer>;
  /** The same in chunks, of which each is good until the next is asked for; absent: files come as a whole. */
  chunks?(artefact: Artefact): AsyncIterable<Uint8Array>;
  /** What a file consists of where its parts can be read by themselves, at least one; absent: files come as a whole. */
  parts?(artefact: Artefact): FilePart[];
}

/** Runs transformers. Another engine is a folder beside `onnx/`, given to the Worker by the file that builds it in. */
export interface TextEngine {
  open(tower: TextTower, read: ReadArtefact): Promise<OpenTextEngine>;
  /** Sums of the static tier's rows, faster than TypeScript has them; undefined, or absent, where it cannot. */
  openSums?(tier: StaticTables, read: ReadArtefact): Promise<RowSums | undefined>;
}

/** What the static tier's vectors are made of, as the manifest describes it. */
export interface StaticTables {
  table: QuantizedTable;
  /** What a sum of rows is multiplied with. Absent: the sum is the vector. */
  projection?: QuantizedTable | undefined;
}

export interface RowSums {
  /** The sum of the rows with these ids, projected where there is a projection; it may be overwritten by the next one. */
  sum(ids: TokenIds): Float32Array;
  /** Before the first sum of these ids: resolves once their rows are there. Undefined where they are; absent: all are. */
  need?(texts: readonly TokenIds[]): Promise<void> | undefined;
  close(): void;
}

export interface OpenTextEngine {
  encode: Encode;
  /** Releases what was opened; `encode` must not be called any more. */
  close(): Promise<void>;
  /** Bytes of the engine's own memory, which all models it has open share. */
  memoryBytes(): number;
}
