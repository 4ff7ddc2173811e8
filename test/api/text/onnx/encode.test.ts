// The student's loop over texts with a graph that only counts: one run per text, turns for others, a stop between texts.
import { Tensor } from 'onnxruntime-web/wasm';
import { beforeEach, expect, test } from 'vitest';
import { createOnnxEncode } from '../../../../api/text/onnx/encode.ts';
import { runWhole } from '../../../../api/text/onnx/runs.ts';
import type { TextSession } from '../../../../api/text/onnx/session.ts';
import { tableOf } from '../tables.ts';

const table = tableOf([[1], [2], [3]], [1, 1, 1]);
const text = (tokens: number) => Array<number>(tokens).fill(1);

let runs: string[];
beforeEach(() => {
  runs = [];
});

/** Answers the sum of the embeddings beside a four, and remembers the shape and type of what it was given. */
const session: TextSession = {
  inputMetadata: [{ name: 'attention_mask', isTensor: true, type: 'int64', shape: [] }],
  release: async () => {},
  async run(feeds: Record<string, Tensor>) {
    const { inputs_embeds: embeds, attention_mask: mask } = feeds;
    runs.push(`${embeds?.dims} ${mask?.type}`);
    const sum = Array.from(embeds?.data as Float32Array).reduce((a, b) => a + b, 0);
    return { embedding: new Tensor('float32', Float32Array.of(sum, 4), [1, 2]) };
  },
};
const encode = createOnnxEncode(table, runWhole(session, table.width));

test('every text is a run of its own with the mask type that the graph asks for, and gives a unit vector', async () => {
  expect(await encode([[0, 1], [2]])).toEqual([Float32Array.of(0.6, 0.8), Float32Array.of(0.6, 0.8)]);
  expect(runs).toEqual(['1,2,1 int64', '1,1,1 int64']);
});

test('a turn is asked for before every text, for its tokens', async () => {
  const asked: string[] = [];
  const next = async (tokens: number) => void asked.push(`${tokens} after ${runs.length}`);
  await encode([text(60), text(5)], { next });
  expect(asked).toEqual(['60 after 0', '5 after 1']);
});

test('nothing further is computed when there is no turn any more', async () => {
  const next = () => (runs.length === 3 ? Promise.reject(new Error('gone')) : Promise.resolve());
  await expect(encode(Array(20).fill(text(70)), { next })).rejects.toThrow('gone');
  expect(runs).toHaveLength(3);
});
