// The session of the image tower: what runs is finished before its end, what comes later is refused in words, and CUDA is had or refused.
import { execFileSync } from 'node:child_process';
import { globSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { fixOnePicture } from '../../../api/encoder/one-picture.ts';
import { openSession, readManifest } from '../../../api/encoder/session.ts';
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { warmPython } from '../../support/python.ts';
import { TINY_SIZE, writeTinyImageModel } from '../../support/tiny-image-model.ts';

const MODEL = join(import.meta.dirname, '../../../api/model');

test('lets the batch that runs finish before it closes, and refuses every later one', async () => {
  const manifest = await readManifest(MODEL);
  const session = await openSession(MODEL, manifest, { threads: 1 });
  const { size } = manifest.image.preprocess;
  const picture = { tensor: new Float32Array(3 * size * size), width: size, height: size };
  const running = session.run([picture]);
  const closing = session.close();
  expect((await running)[0]).toHaveLength(manifest.embed_dim);
  await closing;
  await expect(session.run([picture])).rejects.toMatchObject({ code: 'encoder_unavailable' });
});

test('tells the maker of the runtime nothing, and writes nothing for it beside the user’s files', () => {
  const home = mkdtempSync(join(tmpdir(), 'home-'));
  const code = `
    const { openSession, readManifest } = await import('${new URL('../../../api/encoder/session.ts', import.meta.url)}');
    const session = await openSession('${MODEL}', await readManifest('${MODEL}'), { threads: 1 });
    await session.close();`;
  // Nothing of this environment: continuous integration is quiet by itself.
  execFileSync(process.execPath, ['--input-type=module', '-e', code], { env: { HOME: home } });
  expect(readdirSync(home)).toEqual([]);
});

interface Graph {
  name: string | number;
  file: string;
  weights: string | null;
  vectors: number[][];
}

/** The number of pictures that ONNX Runtime sees in a graph that was fixed. */
async function fixedSize(path: string): Promise<number | string | undefined> {
  const bytes = readFileSync(path);
  fixOnePicture(bytes);
  const [pixels] = (await InferenceSession.create(bytes)).inputMetadata;
  return pixels?.isTensor ? pixels.shape[0] : undefined;
}

test('whatever a graph calls the number of its pictures, and wherever its weights are, the vectors are those of one run', async () => {
  const { folder, manifest } = writeTinyImageModel();
  const pixels = Float32Array.from({ length: 5 * 3 * TINY_SIZE ** 2 }, (_, at) => Math.sin(at * at));
  writeFileSync(join(folder, 'pixels.bin'), pixels);
  const script = join(import.meta.dirname, 'image_graphs.py');
  const words = [script, join(folder, 'image.onnx'), join(folder, 'pixels.bin'), folder];
  const printed = execFileSync(await warmPython(), words, { encoding: 'utf8' });
  const graphs = printed
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Graph);
  expect(graphs).toHaveLength(6);
  for (const { name, file, weights, vectors } of graphs) {
    const artefact = (path: string) => {
      const bytes = readFileSync(join(folder, path));
      return { path, digest: sha256Of(bytes), size: bytes.length };
    };
    const beside = weights === null ? {} : { weights: { name: weights, file: artefact(weights) } };
    const image = { ...manifest.image, graph: { ...manifest.image.graph, file: artefact(file), ...beside } };
    const session = await openSession(folder, { ...manifest, image }, { threads: 1 });
    const pictures = vectors.map((_, at) => ({
      tensor: pixels.slice(at * 3 * TINY_SIZE ** 2, (at + 1) * 3 * TINY_SIZE ** 2),
      width: TINY_SIZE,
      height: TINY_SIZE,
    }));
    const found = await session.run(pictures);
    const differences = found.flatMap((vector, row) =>
      Array.from(vector, (value, at) => Math.abs(value - (vectors[row]?.[at] ?? Number.NaN))),
    );
    expect([name, found.length, Math.max(...differences) < 1e-6]).toEqual([name, 5, true]);
    if (weights === null) expect(await fixedSize(join(folder, file))).toBe(file === '3.onnx' ? name : 1);
    await session.close();
  }
}, 900_000);

test('a picture has the same bits alone as among others', async () => {
  const manifest = await readManifest(MODEL);
  const session = await openSession(MODEL, manifest, { threads: 2 });
  const { size } = manifest.image.preprocess;
  const pictures = [1, 2, 3].map((seed) => {
    const tensor = Float32Array.from({ length: 3 * size ** 2 }, (_, at) => Math.sin(at * seed));
    return { tensor, width: size, height: size };
  });
  const together = await session.run(pictures);
  const alone: Float32Array[] = [];
  for (const picture of pictures) alone.push(...(await session.run([picture])));
  expect(together).toEqual(alone);
  await session.close();
});

test.each([1, 2, 32])('pictures of several shapes have their own vectors, %s of a shape at a time', async (batch) => {
  const { folder, manifest } = writeTinyImageModel();
  const file = join(folder, 'image.onnx');
  execFileSync(await warmPython(), [join(import.meta.dirname, 'mean_graph.py'), file]);
  const graph = { file: { ...manifest.image.graph.file, digest: sha256Of(readFileSync(file)) }, opset: 18 };
  const described = { ...manifest, embed_dim: 3, image: { ...manifest.image, graph } };
  const session = await openSession(folder, described, { threads: 1, batch });
  const pictures = [
    [2, 3],
    [3, 2],
    [2, 3],
    [1, 6],
    [2, 3],
    [3, 2],
  ].map(([width = 0, height = 0], seed) => {
    const tensor = Float32Array.from({ length: 3 * width * height }, (_, at) => Math.sin(at + 7 * seed));
    return { tensor, width, height };
  });
  const found = await session.run(pictures);
  const means = pictures.map(({ tensor }) => {
    return [0, 6, 12].map((from) => tensor.subarray(from, from + 6).reduce((sum, level) => sum + level / 6, 0));
  });
  expect(found.map((vector) => Array.from(vector, (x) => x.toFixed(5)))).toEqual(
    means.map((vector) => vector.map((x) => x.toFixed(5))),
  );
  await session.close();
});

/** The half of CUDA that onnxruntime loads: its package comes without, unless it was installed for a GPU. */
const CUDA = globSync('node_modules/onnxruntime-node/bin/**/libonnxruntime_providers_cuda.so').length > 0;

test.skipIf(CUDA)(
  'where CUDA is asked for and cannot be had, no session opens on processors in its place',
  async () => {
    const opening = openSession(MODEL, await readManifest(MODEL), { threads: 1, provider: 'cuda' });
    await expect(opening).rejects.toThrow(/Cuda/);
  },
);

test.each([
  ['is cut off', '{"schema_version": 1, "na', /^.*manifest\.json is not JSON: /],
  ['is of another document', '{"schema_version": 1}', /^.*manifest\.json breaks the contract at name: /],
])('a manifest that %s is refused in a sentence that names it', async (_, text, sentence) => {
  const { folder } = writeTinyImageModel();
  writeFileSync(join(folder, 'manifest.json'), text);
  const refused = await readManifest(folder).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(UserError);
  expect((refused as Error).message).toMatch(sentence);
  expect((refused as Error).message).not.toContain('\n');
});
