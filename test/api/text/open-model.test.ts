// Opening a model in Node with an engine that only counts: what is read when, what is refused, what is released.
import { beforeEach, expect, test } from 'vitest';
import type { TextEngine } from '../../../api/text/engine.ts';
import { openModel } from '../../../api/text/open-model.ts';
import { tableModel } from '../worker/table-model.ts';

const whole = await tableModel();
let read: string[];
let closed: number;
beforeEach(() => {
  read = [];
  closed = 0;
});

const source = {
  ...whole,
  read: (artefact: Parameters<typeof whole.read>[0]) => {
    read.push(artefact.path);
    return whole.read(artefact);
  },
};
const engine: TextEngine = {
  async open(text, readArtefact) {
    await readArtefact(text.table.file);
    const close = async () => {
      closed += 1;
    };
    return { encode: async (inputs) => inputs.map(() => Float32Array.of(1)), close, memoryBytes: () => 0 };
  },
};
const once = <T>(make: () => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

test('nothing is read before it is needed, and nothing twice', async () => {
  const model = await openModel(source, { engine, once });
  expect(read).toEqual([]);
  await model.tokenizer();
  await model.tokenizer();
  expect(read).toEqual(['vocabulary.txt']);
  await model.encoder('static');
  expect(read).toEqual(['vocabulary.txt', 'static.table.bin']);
});

test('the student is the engine, which is closed with the model', async () => {
  const model = await openModel(source, { engine, once });
  expect(await (await model.encoder('student'))([[1], [2]])).toEqual([Float32Array.of(1), Float32Array.of(1)]);
  await model.close();
  expect(closed).toBe(1);
});

test('a model that never opened its student closes', async () => {
  const model = await openModel(source, { engine, once });
  await model.close();
  expect(closed).toBe(0);
});

test('the engine sees no file that is not the one its manifest names', async () => {
  const model = await openModel({ ...whole, read: async () => new ArrayBuffer(8) }, { engine, once });
  await expect(model.encoder('student')).rejects.toMatchObject({ code: 'model_unavailable' });
});

test('a manifest that breaks the contract is refused with the field at fault', async () => {
  const manifest = async () => ({ ...((await whole.manifest()) as object), embed_dim: 0 });
  const opening = openModel({ ...whole, manifest }, { engine, once });
  await expect(opening).rejects.toMatchObject({
    code: 'model_unavailable',
    message: expect.stringContaining('embed_dim'),
  });
});
