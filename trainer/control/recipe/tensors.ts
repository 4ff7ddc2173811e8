// Lists the tensors of a language model by the headers of its files alone: safetensors and GGUF.
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface Tensor {
  name: string;
  /** Rows before columns, as PyTorch has it. */
  shape: number[];
}

/** Weights as a recipe names them: a folder or file relative to `trainer`, or a Python package that carries them. */
export interface Weights {
  in: 'directory' | 'package';
  name: string;
}

/**
 * The tensors of weights that recipes name; none where they are not on this machine. Each is read once: a plan asks for the same model in
 * every stage that has it.
 */
export function tensorsBelow(trainer: string): (weights: Weights) => Tensor[] {
  const known = new Map<string, Tensor[]>();
  return (weights) => {
    const path = weights.in === 'directory' ? resolve(trainer, weights.name) : packageFolder(weights.name, trainer);
    const tensors = known.get(path) ?? tensorsIn(path);
    known.set(path, tensors);
    return tensors;
  };
}

/** Of a `.gguf` file, or of a folder with safetensors files or else with such a file. */
export function tensorsIn(path: string): Tensor[] {
  if (!existsSync(path)) return [];
  if (statSync(path).isFile()) return headerOfGguf(path);
  const files = readdirSync(path).sort();
  const weights = files.filter((file) => file.endsWith('.safetensors'));
  if (weights.length > 0) return weights.flatMap((file) => headerOf(join(path, file)));
  return files.filter((file) => file.endsWith('.gguf')).flatMap((file) => headerOfGguf(join(path, file)));
}

/** Where the trainer's environment has a package; sentence encoders keep theirs in a folder `model` of it. */
function packageFolder(name: string, trainer: string): string {
  const libraries = join(trainer, '.venv', 'lib');
  const [python = ''] = existsSync(libraries) ? readdirSync(libraries).filter((file) => file.startsWith('python')) : [];
  const folder = join(libraries, python, 'site-packages', name);
  const inside = join(folder, 'model');
  return existsSync(inside) ? inside : folder;
}

/** What is read of a file. Throws a UserError that names the file where it is none of its kind. */
function readFrom<T>(file: string, read: (reader: Reader) => T): T {
  const reader = new Reader(file);
  try {
    return read(reader);
  } catch (error) {
    if (error instanceof UserError && !reader.isPointer()) throw error;
    const why = reader.isPointer()
      ? "a pointer of Git LFS: 'git lfs pull' in its folder fetches the file"
      : 'not a whole file of its kind: its header cannot be read, copy it anew';
    throw new UserError(`${file} is ${why}`);
  } finally {
    reader.close();
  }
}

const Header = z.record(z.string(), z.looseObject({ shape: z.array(z.int().nonnegative()).optional() }));

/** A header is a length of eight bytes and a JSON object: https://huggingface.co/docs/safetensors. */
function headerOf(file: string): Tensor[] {
  const header = readFrom(file, (reader) => Header.parse(JSON.parse(reader.text())));
  return Object.entries(header).flatMap(([name, { shape }]) => (shape === undefined ? [] : [{ name, shape }]));
}

/** Bytes of GGUF's types of metadata by their number; a text and an array say their own length. */
const SIZES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const TEXT = 8;
const ARRAY = 9;

/** Counts, metadata, then a line for each tensor: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Columns come first there. */
function headerOfGguf(file: string): Tensor[] {
  return readFrom(file, (reader) => {
    if (reader.bytes(4).toString('latin1') !== 'GGUF' || reader.small() < 2)
      throw new UserError(`${file} is no GGUF file of version 2 or later: name a Hugging Face folder or a .gguf file`);
    const [tensors, entries] = [reader.count(), reader.count()];
    for (let entry = 0; entry < entries; entry++) {
      reader.skip(reader.large());
      skipValue(reader, reader.small());
    }
    return Array.from({ length: tensors }, () => {
      const name = reader.text();
      const shape = Array.from({ length: reader.small() }, () => reader.large()).reverse();
      reader.skip(4 + 8); // its type, and its offset in the file
      return { name, shape };
    });
  });
}

function skipValue(reader: Reader, type: number): void {
  if (type === TEXT) {
    reader.skip(reader.large());
  } else if (type === ARRAY) {
    const [of, count] = [reader.small(), reader.large()];
    if (of in SIZES) reader.skip(count * sizeOf(of));
    else for (let index = 0; index < count; index++) skipValue(reader, of);
  } else {
    reader.skip(sizeOf(type));
  }
}

function sizeOf(type: number): number {
  const size = SIZES[type];
  if (size === undefined) throw new UserError(`a GGUF file has metadata of type ${type}, which is not known here`);
  return size;
}

const LFS = 'version https://git-lfs';

/** Reads a file from its beginning, a piece at a time: metadata hold a whole vocabulary, weights are never touched. */
class Reader {
  private readonly file: string;
  private readonly handle: number;
  private readonly size: number;
  private piece = Buffer.alloc(0);
  /** Where the piece begins, and how far it was read. */
  private start = 0;
  private at = 0;

  constructor(file: string) {
    this.file = file;
    this.handle = openSync(file, 'r');
    this.size = fstatSync(this.handle).size;
  }

  /** Whether the file is what Git LFS leaves in the place of one that was not fetched. */
  isPointer(): boolean {
    const start = Buffer.alloc(LFS.length);
    readSync(this.handle, start, 0, start.length, 0);
    return start.toString('latin1') === LFS;
  }

  close(): void {
    closeSync(this.handle);
  }

  bytes(length: number): Buffer {
    this.expect(length);
    if (this.at + length > this.piece.length) {
      this.start += this.at;
      this.at = 0;
      const piece = Buffer.alloc(Math.max(length, 1 << 20));
      this.piece = piece.subarray(0, readSync(this.handle, piece, 0, piece.length, this.start));
    }
    this.at += length;
    return this.piece.subarray(this.at - length, this.at);
  }

  skip(length: number): void {
    this.expect(length);
    this.at += length;
    if (this.at <= this.piece.length) return;
    this.start += this.at;
    this.at = 0;
    this.piece = Buffer.alloc(0);
  }

  /** Before memory is taken for a length that a damaged file states. */
  private expect(length: number): void {
    if (length > this.size - this.start - this.at)
      throw new UserError(`${this.file} ends within its header: copy it anew`);
  }

  /** How many things follow, of one byte at least. */
  count(): number {
    const count = this.large();
    this.expect(count);
    return count;
  }

  small(): number {
    return this.bytes(4).readUInt32LE();
  }

  large(): number {
    return Number(this.bytes(8).readBigUInt64LE());
  }

  /** A text with its length before it. */
  text(): string {
    return this.bytes(this.large()).toString('utf8');
  }
}
