// Files of vectors as the libraries that people read them with see them: NumPy, safetensors, Arrow.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { writeFormats } from '../../../../api/bulk/outputs/formats.ts';
import type { Part } from '../../../../api/bulk/outputs/part.ts';
import type { VideoSpan } from '../../../../contracts/src/bulk/video.ts';
import { warmPython } from '../../../support/python.ts';
import { packed, rotatedSlowly } from '../../../support/rotation.ts';
import { newFolder, resultsIn, runJob, vectorOf, writeImages } from '../jobs.ts';

const READER = join(import.meta.dirname, 'read_outputs.py');
let python = '';
beforeAll(async () => {
  python = await warmPython();
}, 900_000);

interface Read {
  npy: { dtype: string; values: number[][] };
  ids: { row: number; item: number; custom_id: string; space_id: string; video?: VideoSpan }[];
  safetensors: { dtype: string; values: number[][]; items: number[]; metadata: Record<string, string> };
  parquet: {
    types: Record<string, string>;
    rows: (Partial<VideoSpan> & { item: number; custom_id: string; embedding: number[]; space_id: string })[];
  } & {
    metadata: Record<string, string>;
  };
}

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
      return type === 'int8'
        ? Array.from(vector, (value) => Math.round(value * 127))
        : packed(rotatedSlowly(Array.from(vector)));
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

test('of a job that reads videos every form says which part of a video a row is of, and nothing of the other rows', () => {
  const folder = newFolder('videos');
  const video = { start_seconds: 10, end_seconds: 12.345, frames: 3 };
  const part: Part = {
    model: { id: 'tiny', version: '1', space_id: `sha256:${'a'.repeat(64)}` },
    type: 'float32',
    dimensions: 2,
    hasVideos: true,
    rows: [
      { item: 0, custom_id: 'photo.jpg', modality: 'image', width: 4, height: 4 },
      { item: 1, custom_id: 'clip.mp4#t=10,12.345', modality: 'video', width: 4, height: 4, video },
    ],
    matrix: new Uint8Array(Float32Array.from([1, 0, 0, 1]).buffer),
  };
  const files = writeFormats(part, 0, ['npy', 'safetensors', 'parquet']);
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  const { ids, safetensors, parquet }: Read = JSON.parse(execFileSync(python, [READER, folder], { encoding: 'utf8' }));
  expect(ids.map((row) => row.video)).toEqual([undefined, video]);
  expect(JSON.parse(safetensors.metadata.videos ?? '')).toEqual([null, video]);
  expect(parquet.types).toMatchObject({ start_seconds: 'double', end_seconds: 'double', frames: 'int32' });
  expect(parquet.rows).toMatchObject([
    { item: 0, embedding: [1, 0], start_seconds: null, end_seconds: null, frames: null },
    { item: 1, embedding: [0, 1], ...video },
  ]);
});
