// Bulk jobs for the tests of `npm run load`, the command itself, and what a search in their vectors has to find.
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { BulkType } from '../../../../contracts/src/bulk/job.ts';
import { newFolder, resultsIn, runJob, writeImages } from '../jobs.ts';

export const LOAD = join(import.meta.dirname, '../../../../api/bulk/hosts/load.ts');
const COUNT = 30;

/** A finished job, its names in order, and the bytes of its vectors. */
export interface Encoded {
  output: string;
  names: string[];
  vectors: Buffer[];
}

/** Three shards of small pictures, eight numbers each. */
export async function encode(type: BulkType): Promise<Encoded> {
  const input = newFolder('in');
  await writeImages(input, COUNT);
  const { output } = await runJob({ input: { prefix: `file://${input}` }, type }, { shardItems: 10 });
  const results = resultsIn(output);
  return {
    output,
    names: results.map(({ custom_id }) => custom_id),
    vectors: results.map(({ embedding }) => Buffer.from(embedding, 'base64')),
  };
}

export const floatsOf = (bytes: Buffer): number[] =>
  Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(i * 4));
const int8sOf = (bytes: Buffer): number[] => Array.from(new Int8Array(bytes));
const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);
const cosine = (a: number[], b: number[]): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
const bitsApart = (a: Buffer, b: Buffer): number =>
  a.reduce((sum, byte, i) => sum + (byte ^ (b[i] ?? 0)).toString(2).replaceAll('0', '').length, 0);

/** By the closed form: how far every vector is from the first, by name: 1 - cosine, or bits that differ. */
export function distances({ names, vectors }: Encoded, type: BulkType): Map<string, number> {
  const [first = Buffer.alloc(0)] = vectors;
  const numbers = type === 'int8' ? int8sOf : floatsOf;
  return new Map(
    vectors.map((vector, row) => [
      names[row] ?? '',
      type === 'binary' ? bitsApart(vector, first) : 1 - cosine(numbers(vector), numbers(first)),
    ]),
  );
}

export interface Loaded {
  code: number;
  stdout: string;
  stderr: string;
}

/** The key that the Qdrant of the tests asks for, as its users have it in their environment. */
export const QDRANT_KEY = 'key-of-the-tests';

/** Runs the command as a user does. */
export function load(...words: string[]): Promise<Loaded> {
  const env = { ...process.env, QDRANT_API_KEY: QDRANT_KEY };
  return new Promise((resolve) => {
    execFile(process.execPath, [LOAD, ...words], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A server of the tests in Python: its first line, and how it ends. */
export async function serve(python: string, file: string, ...words: string[]) {
  const child = spawn(python, [join(import.meta.dirname, file), ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  async function close(): Promise<void> {
    child.stdin.end();
    await ended;
  }
  return { line, close };
}
