// Files of vectors as the libraries that people read them with see them: NumPy, safetensors, Arrow.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { trainerPython } from '../../../support/python.ts';
import { newFolder, resultsIn, runJob, vectorOf, writeImages } from '../jobs.ts';

const READER = join(import.meta.dirname, 'read_outputs.py');
let python = '';
beforeAll(async () => {
  python = await trainerPython();
}, 900_000);

interface Read {
  npy: { dtype: string; values: number[][] };
  ids: { row: number; item: number; custom_id: string; space_id: string }[];
  safetensors: { dtype: string; values: number[][]; items: number[]; metadata: Record<string, string> };
  parquet: {
    types: Record<string, string>;
    rows: { item: number; custom_id: string; embedding: number[]; space_id: string }[];
  } & {
    metadata: Record<string, string>;
  };
}

const signs = (values: Float32Array): number[] => {
  const bits = Array.from(values, (value) => (value > 0 ? 1 : 0));
  const bytes = Math.ceil(bits.length / 8);
  return Array.from({ length: bytes }, (_, i) =>
    bits.slice(i * 8, i * 8 + 8).reduce((sum: number, bit, j) => sum + bit * 2 ** (7 - j), 0),
  );
};

test.each(['float32', 'int8', 'binary'] as const)(
  '%s reads back as what was embedded, with its space',
  async (type) => {
    const input = newFolder('in');
    await writeImages(input, 5);
    const wanted = { input: { prefix: `file://${input}` } };
    const floats = resultsIn((await runJob(wanted)).output);
    const { output, job } = await runJob({ ...wanted, type, formats: ['npy', 'safetensors', 'parquet'] });
    const read: Read = JSON.parse(execFileSync(python, [READER, output], { encoding: 'utf8' }));
    const expected = floats.map((line) => {
      const vector = vectorOf(line);
      if (type === 'float32') return Array.from(vector);
      return type === 'int8' ? Array.from(vector, (value) => Math.round(value * 127)) : signs(vector);
    });
    const { space_id } = job.model;
    const metadata = { space_id, type, model: 'tiny', version: '1', dimensions: '8' };
    const names = floats.map(({ custom_id }) => custom_id);
    expect(read.npy.values).toEqual(expected);
    expect(read.npy.dtype).toBe({ float32: 'float32', int8: 'int8', binary: 'uint8' }[type]);
    expect(read.ids).toEqual(
      names.map((custom_id, item) => ({ row: item, item, custom_id, space_id, type, dimensions: 8 })),
    );
    expect(read.safetensors.values).toEqual(expected);
    expect(read.safetensors.items).toEqual([0, 1, 2, 3, 4]);
    expect(read.safetensors.metadata).toEqual({ ...metadata, custom_ids: JSON.stringify(names) });
    expect(read.parquet.metadata).toMatchObject(metadata);
    expect(read.parquet.rows).toEqual(
      names.map((custom_id, item) => ({ item, custom_id, embedding: expected[item], space_id })),
    );
    expect(read.parquet.types.embedding).toBe(
      {
        float32: 'fixed_size_list<element: float not null>[8]',
        int8: 'fixed_size_list<element: int8 not null>[8]',
        binary: 'fixed_size_binary[1]',
      }[type],
    );
  },
);
