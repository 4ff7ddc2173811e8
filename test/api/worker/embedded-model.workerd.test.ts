// The embedded model's files among the static files: whole, in parts, missing or damaged, and what a client is told.
import { expect, it } from 'vitest';
import { type ModelSource, readVerified } from '../../../api/registry/read.ts';
import { encodeIndex, indexVocabulary } from '../../../api/text/tokenizers/pieces.ts';
import { embeddedModel, type StaticFiles } from '../../../api/worker/embedded-model.ts';
import { artefactKey, PACKED_MODEL } from '../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { STATIC_FILE_BYTES, staticFilesOf } from '../../../contracts/src/model/static-files.ts';
import { textArtefacts } from '../../../contracts/src/model/towers.ts';
import { appOf, STATIC, tableModel } from './table-model.ts';

/** The platform's binding over a few files, and what was asked of it. */
function filesOf(content: Map<string, BodyInit>): { files: StaticFiles; asked: string[] } {
  const asked: string[] = [];
  const files: StaticFiles = {
    async fetch({ url, method }) {
      const path = new URL(url).pathname.slice(1);
      asked.push(`${method} ${path}`);
      const body = content.get(path);
      return body === undefined ? new Response(null, { status: 404 }) : new Response(body);
    },
  };
  return { files, asked };
}

/** The table model, its files as the static files of a deployment. */
async function deployed(more: [string, BodyInit][] = []) {
  const table = await tableModel();
  const artefacts = textArtefacts(ModelManifest.parse(await table.manifest()));
  const content = new Map<string, BodyInit>(more);
  for (const artefact of artefacts) content.set(artefactKey(artefact.digest), await table.read(artefact));
  const { files, asked } = filesOf(content);
  const source: ModelSource = { ...embeddedModel(files), manifest: table.manifest };
  const rows = artefacts.find(({ path }) => path === 'static.table.bin');
  return { ...appOf(source), content, asked, key: artefactKey(rows?.digest ?? '') };
}

it('reads each file once, however many requests are answered', async () => {
  const { post, asked, key } = await deployed();
  for (const input of ['dog', 'a dog', 'dog dog']) {
    expect((await post('/embed', { input, model: STATIC })).status).toBe(200);
  }
  expect(asked.filter((line) => line === `GET ${key}`)).toHaveLength(1);
  expect(new Set(asked).size).toBe(asked.length);
});

it('is not ready while a file has its length and not its digest, and says so; it is once the file is whole', async () => {
  const { app, content, key } = await deployed();
  const whole = new Uint8Array(content.get(key) as ArrayBuffer);
  const damaged = whole.slice();
  damaged[100] = (damaged[100] ?? 0) ^ 1;
  content.set(key, damaged);
  const response = await app.request('/health/ready');
  expect(response.status).toBe(503);
  const { error } = await response.json<{ error: { code: string; message: string } }>();
  expect(error.code).toBe('model_unavailable');
  expect(error.message).toContain('static.table.bin is not what its name says');
  content.set(key, whole);
  expect((await app.request('/health/ready')).status).toBe(200);
});

it.each<[string, (content: Map<string, BodyInit>, key: string) => void, RegExp]>([
  ['is missing', (content, key) => content.delete(key), /no static file .*, which is static\.table\.bin: deploy again/],
  ['is cut short', (content, key) => content.set(key, 'abc'), /static\.table\.bin, has 3 bytes, its manifest says \d+/],
])('says what to do where a file %s', async (_, change, message) => {
  const { post, content, key } = await deployed();
  change(content, key);
  const response = await post('/embed', { input: 'dog', model: STATIC });
  expect(response.status).toBe(503);
  expect(await response.text()).toMatch(message);
});

const some = { path: 'a.bin', digest: `sha256:${'0'.repeat(64)}`, size: 3 };

it.each<[string, StaticFiles | undefined, RegExp]>([
  ['there is no binding', undefined, /runs without static files, and a\.bin is one: bind them as ASSETS/],
  [
    'the binding fails',
    { fetch: () => Promise.reject(new Error('the network is down')) },
    /a\.bin cannot be read: the network is down/,
  ],
  [
    'the platform has an error',
    { fetch: async () => new Response('no', { status: 500 }) },
    /a\.bin was answered with 500/,
  ],
])('says what is wrong where %s', async (_, files, message) => {
  await expect(embeddedModel(files).read(some)).rejects.toThrow(message);
});

it.each<[string, BodyInit | undefined, object]>([
  ['are not packed', undefined, {}],
  ['are', '{"tiny":{"engine":"own"}}', { tiny: { engine: 'own' } }],
])('says what a deployment adds to its manifest where weights %s', async (_, body, expected) => {
  const content = new Map(body === undefined ? [] : [[PACKED_MODEL, body] as const]);
  expect(await embeddedModel(filesOf(content).files).packed?.()).toEqual(expected);
});

it('says what is wrong where that cannot be read', async () => {
  const files: StaticFiles = { fetch: async () => new Response('no', { status: 500 }) };
  await expect(embeddedModel(files).packed?.()).rejects.toThrow('artefacts/packed.json was answered with 500');
});

it('puts a file together that is larger than one static file may be', async () => {
  const size = STATIC_FILE_BYTES + 1000;
  const bytes = new Uint8Array(size).fill(7);
  bytes.set([1, 2, 3], size - 3);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  const digest = `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  const key = artefactKey(digest);
  const { files } = filesOf(
    new Map([
      [`${key}.0`, bytes.slice(0, STATIC_FILE_BYTES)],
      [`${key}.1`, bytes.slice(STATIC_FILE_BYTES)],
    ]),
  );
  const read = await readVerified(embeddedModel(files), { path: 'large.bin', digest, size });
  expect(new Uint8Array(read).subarray(-4)).toEqual(Uint8Array.of(7, 1, 2, 3));
});

it('reads the parts of a table one by one, and refuses one of another length or, where digests are compared, with another byte', async () => {
  const { text } = ModelManifest.parse(await embeddedModel(undefined).manifest());
  const { file, width } = text.table;
  const bytes = new Uint8Array(file.size).fill(5);
  const stored = staticFilesOf([text.table])(file);
  const content = new Map<string, BodyInit>(stored.map(({ key, from, to }) => [key, bytes.slice(from, to)]));
  const { files, asked } = filesOf(content);
  const source = embeddedModel(files);
  const parts = source.parts?.(file) ?? [];
  expect(parts.map(({ from }) => from % width)).toEqual(parts.map(() => 0));
  expect(parts.at(-1)?.to).toBe(file.size);
  expect(new Uint8Array((await parts[1]?.read()) ?? [])).toEqual(bytes.subarray(parts[1]?.from, parts[1]?.to));
  expect(asked).toEqual([`GET ${stored[1]?.key}`]);
  expect(new Uint8Array(await source.read(file))).toEqual(bytes);
  // The bytes above are none of the model's.
  await expect(readVerified(source, file)).rejects.toThrow('text.table.bin is not what its name says');
  content.set(stored[1]?.key ?? '', 'abc');
  await expect(parts[1]?.read()).rejects.toThrow(/which is text\.table\.bin, has 3 bytes, its manifest says \d+/);
});

it('has the index of a vocabulary compared with its digest, too, before it is ready', async () => {
  const table = await tableModel();
  const { text } = ModelManifest.parse(await table.manifest());
  const vocabulary = new TextDecoder().decode(await table.read(text.tokenizer.vocabulary));
  const index = encodeIndex(indexVocabulary(vocabulary));
  const digest = `sha256:${'1'.repeat(64)}`;
  const { post, app } = await deployed([
    [PACKED_MODEL, JSON.stringify({ index: { path: 'vocabulary.txt.index', digest, size: index.length } })],
    [artefactKey(digest), index],
  ]);
  expect((await post('/embed', { input: 'a dog', model: STATIC })).status).toBe(200);
  const response = await app.request('/health/ready');
  expect(response.status).toBe(503);
  expect(await response.text()).toContain('vocabulary.txt.index is not what its name says');
});
