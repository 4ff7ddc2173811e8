// The embedded model in the real Workers runtime: on our own text engine in both of its builds, in the Worker that is
// deployed, and on onnxruntime-web in the one that has it built in.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dot } from '../../api/core/vectors/vectors.ts';
import { writeStaticFiles } from '../../api/dev/assets/write.ts';
import { EMBEDDED_MODEL, WITH_ONNXRUNTIME, WITHOUT_ONNXRUNTIME } from '../../api/dev/bundle.ts';
import { type LocalWorker, startWorker, type WorkerOptions } from '../../api/dev/local-worker.ts';
import { EmbedResponse } from '../../contracts/src/api/embed.ts';
import { ReadyReport } from '../../contracts/src/api/models.ts';
import { artefactKey, PACKED_MODEL } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../contracts/src/model/static-files.ts';

const NASTY_TEXTS = new URL('../../contracts/vectors/tokenizer/nasty.json', import.meta.url);
const TRANSFORMERS = ['edge-clip-small', 'edge-clip-small-tiny'];
const TEXTS = ['A dog runs through the snow.', 'rain', 'Zwei Kinder spielen am Strand. '.repeat(30), 'dog👍 犬'];
/** Of all kinds of characters and lengths, every twentieth of those that say something. */
const NASTY: string[] = JSON.parse(readFileSync(NASTY_TEXTS, 'utf8'))
  .cases.map(({ text }: { text: string }) => text)
  .filter((text: string, at: number) => at % 20 === 0 && /[\p{L}\p{N}\p{S}]/u.test(text));
/** Three models of 30 MB, on a machine that has other work. */
const START_MS = 300_000;

/** The embedded model in a Worker of its own. */
function start(options: Partial<Pick<WorkerOptions, 'assets' | 'entry' | 'variables'>> = {}): Promise<LocalWorker> {
  return startWorker({
    model: EMBEDDED_MODEL,
    port: 0,
    // Nothing listens there: no image is sent.
    encoderUrl: 'http://127.0.0.1:1',
    entry: WITHOUT_ONNXRUNTIME,
    ...options,
    variables: { CACHE: 'off', ...options.variables },
  });
}

function post(
  { url }: Pick<LocalWorker, 'url'>,
  body: { input: string | string[]; model?: string },
): Promise<Response> {
  return fetch(`${url}/embed`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

/** Vectors of NASTY, by engine and model. */
const vectors = new Map<string, number[][]>();

describe.each([
  { engine: 'wasm', entry: WITHOUT_ONNXRUNTIME },
  { engine: 'wasm-plain', entry: WITHOUT_ONNXRUNTIME },
  { engine: 'onnx', entry: WITH_ONNXRUNTIME },
])('TEXT_ENGINE = "$engine"', ({ engine, entry }) => {
  let worker: LocalWorker;
  beforeAll(async () => {
    worker = await start({ entry, variables: { TEXT_ENGINE: engine } });
  }, START_MS);
  afterAll(() => worker?.platform.dispose());

  async function embed(model: string, input: string[]): Promise<number[][]> {
    const response = await post(worker, { input, model });
    return EmbedResponse.parse(await response.json()).data.map(({ embedding }) => embedding as number[]);
  }

  test('the golden vectors, which onnxruntime or PyTorch computed, are reproduced', async () => {
    const { golden } = ReadyReport.parse(await (await fetch(`${worker.url}/health/ready`)).json());
    expect(golden.map(({ tier }) => tier)).toEqual(expect.arrayContaining(['student', 'tiny', 'static']));
    for (const { cosine } of golden) expect(cosine).toBeGreaterThan(0.995);
  });

  test.each(TRANSFORMERS)('texts of %s have the same vectors together', async (model) => {
    const together = await embed(model, TEXTS);
    for (const [at, text] of TEXTS.entries()) expect(await embed(model, [text])).toEqual([together[at]]);
    if (engine !== 'onnx') vectors.set(`${engine} ${model}`, await embed(model, NASTY));
  });
});

test.each(TRANSFORMERS)('both builds of our engine answer alike for texts of all kinds: %s', (model) => {
  const of = (engine: string) => vectors.get(`${engine} ${model}`) ?? [];
  const [relaxed, plain] = [of('wasm'), of('wasm-plain')];
  expect(relaxed).toHaveLength(NASTY.length);
  const distances = relaxed.map((vector, at) => 1 - dot(vector, plain[at] ?? []));
  expect(Math.max(...distances)).toBeLessThan(1e-3);
});

test(
  'a Worker without onnxruntime-web says what to build where a model or TEXT_ENGINE wants it',
  async () => {
    const worker = await start({ variables: { TEXT_ENGINE: 'onnx' } });
    try {
      const response = await post(worker, { input: 'rain' });
      expect(response.status).toBe(503);
      expect(await response.text()).toContain('main = \\"api/worker/with-onnxruntime.ts\\" in wrangler.toml');
    } finally {
      await worker.platform.dispose();
    }
  },
  START_MS,
);

test(
  'a Worker whose static file is not the one that its script names is not ready, and one whose file is not whole answers with the reason',
  async () => {
    const assets = mkdtempSync(join(tmpdir(), 'damaged-assets-'));
    await writeStaticFiles(assets, EMBEDDED_MODEL);
    const { student } = JSON.parse(readFileSync(join(assets, PACKED_MODEL), 'utf8'));
    const damaged = join(assets, artefactKey(student.packed.file.digest));
    const bytes = readFileSync(damaged);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    writeFileSync(damaged, bytes);
    const worker = await start({ assets });
    const embed = (model: string) => post(worker, { input: 'rain', model });
    try {
      const ready = await fetch(`${worker.url}/health/ready`);
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain('text.packed.bin is not what its name says');
      writeFileSync(damaged, bytes.subarray(1));
      const student = await embed('edge-clip-small');
      expect(student.status).toBe(503);
      expect(await student.json()).toMatchObject({ error: { code: 'model_unavailable' } });
      // What is whole answers.
      for (const tier of ['tiny', 'static']) expect((await embed(`edge-clip-small-${tier}`)).status).toBe(200);
    } finally {
      await worker.platform.dispose();
      rmSync(assets, { recursive: true });
    }
  },
  START_MS,
);

test(
  'a text whose rows are in a part of a table that is cut short is refused with the reason, and others are answered',
  async () => {
    const assets = mkdtempSync(join(tmpdir(), 'damaged-part-'));
    await writeStaticFiles(assets, EMBEDDED_MODEL);
    const { static: fast, text } = ModelManifest.parse(
      JSON.parse(readFileSync(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')),
    );
    if (!fast) throw new Error('the embedded model has no static tier');
    const words = readFileSync(join(EMBEDDED_MODEL, text.tokenizer.vocabulary.path), 'utf8').split('\n');
    const parts = staticFilesOf([fast.table])(fast.table.file);
    const partOf = (id: number) => parts.findIndex(({ to }) => id * fast.table.width < to);
    const near = words.indexOf('dog');
    const far = words.findIndex((word, id) => partOf(id) > partOf(near) && /^[a-z]{5,}$/.test(word));
    const damaged = join(assets, parts[partOf(far)]?.key ?? '');
    const bytes = readFileSync(damaged);
    writeFileSync(damaged, bytes.subarray(1));
    const worker = await start({ assets });
    const embed = async (input: string) => {
      const response = await post(worker, { input, model: 'edge-clip-small-static' });
      return { status: response.status, text: await response.text() };
    };
    try {
      expect((await embed('dog')).status).toBe(200);
      const refused = await embed(words[far] ?? '');
      expect(refused.status).toBe(503);
      expect(refused.text).toContain(`which is static.table.bin, has ${bytes.length - 1} bytes`);
      expect((await embed('dog dog')).status).toBe(200);
      const ready = await fetch(`${worker.url}/health/ready`);
      expect(ready.status).toBe(503);
      expect(await ready.text()).toContain('which is static.table.bin');
      writeFileSync(damaged, bytes);
      // What it failed to read it reads again.
      expect((await embed(words[far] ?? '')).status).toBe(200);
      expect((await fetch(`${worker.url}/health/ready`)).status).toBe(200);
    } finally {
      await worker.platform.dispose();
      rmSync(assets, { recursive: true });
    }
  },
  START_MS,
);
