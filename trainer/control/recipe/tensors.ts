// Which tensors a folder of safetensors files holds, read from the files' headers alone.
import { closeSync, existsSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';

export interface Tensor {
  name: string;
  shape: number[];
}

/** A header is a length of eight bytes and a JSON object: https://huggingface.co/docs/safetensors. Empty without such files. */
export function tensorsIn(folder: string): Tensor[] {
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith('.safetensors'));
  return files.sort().flatMap((file) => headerOf(join(folder, file)));
}

function headerOf(file: string): Tensor[] {
  const handle = openSync(file, 'r');
  try {
    const length = Number(bytesAt(handle, 0, 8).readBigUInt64LE());
    const header: Record<string, { shape?: number[] }> = JSON.parse(bytesAt(handle, 8, length).toString('utf8'));
    return Object.entries(header).flatMap(([name, { shape }]) => (shape === undefined ? [] : [{ name, shape }]));
  } finally {
    closeSync(handle);
  }
}

function bytesAt(handle: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  readSync(handle, bytes, 0, length, position);
  return bytes;
}
