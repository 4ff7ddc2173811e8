// Packed weights: the same vectors as from the graph they were made of, in both builds and however the file comes, and what is refused.
import { beforeAll, describe, expect, test } from 'vitest';
import type { ReadArtefact } from '../../../../api/text/engine.ts';
import { createWasmEngine } from '../../../../api/text/wasm/engine.ts';
import { RESERVED } from '../../../../api/text/wasm/kernels.ts';
import { LAYOUT, packTower } from '../../../../api/text/wasm/open-tower.ts';
import { planTower } from '../../../../api/text/wasm/tower-memory.ts';
import type { TextTower } from '../../../../contracts/src/model/manifest.ts';
import { cut, idsOf, MODULES, moduleOf, read, towers } from './models.ts';

const { tiny } = towers;
let file: Uint8Array<ArrayBuffer>;
let tower: TextTower;
beforeAll(async () => {
  file = await pack('encoder.wasm');
  tower = towerOf(file);
});

async function pack(module: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = await packTower(tiny, read, moduleOf(module));
  if ('other' in packed) throw new Error(packed.other);
  return packed;
}

const towerOf = ({ length }: Uint8Array, layout = LAYOUT): TextTower => ({
  ...tiny,
  packed: { file: { path: 'tiny.packed.bin', digest: `sha256:${'0'.repeat(64)}`, size: length }, layout },
});

/** Of the model's files with these packed weights, and what was asked for. */
function reading(packed: Uint8Array<ArrayBuffer>, chunks?: ReadArtefact['chunks']) {
  const asked: string[] = [];
  const reader = (artefact: { path: string }) => {
    asked.push(artefact.path);
    return artefact.path === 'tiny.packed.bin' ? Promise.resolve(packed.slice().buffer) : read(artefact);
  };
  return { asked, read: chunks ? Object.assign(reader, { chunks }) : reader };
}

const engineOf = (module: string) => createWasmEngine({ module: moduleOf(module) });

describe.each(MODULES)('%s', (module) => {
  test('packed weights give the bits that their graph gives, as a whole and in chunks, and no graph is read', async () => {
    const texts = [idsOf(3), idsOf(90, 2)];
    const expected = await (await engineOf(module).open(tiny, read)).encode(texts);
    const chunks = () => cut(file, [1000, 7, 300_001, 65_536]);
    for (const { asked, read: from } of [reading(file), reading(file, chunks)]) {
      const opened = await engineOf(module).open(tower, from);
      expect(await opened.encode(texts)).toEqual(expected);
      expect(asked).not.toContain(tiny.graph.file.path);
      expect(asked).not.toContain(tiny.graph.weights?.file.path);
    }
  });

  test('packs the same bytes as the other build', async () => {
    const packed = await pack(module);
    expect(packed.length).toBe(file.length);
    expect(packed.findIndex((byte, at) => byte !== file[at])).toBe(-1);
  });
});

test('weights of another layout are left alone, and the graph is packed', async () => {
  const { asked, read: from } = reading(file);
  await engineOf('encoder.wasm').open(towerOf(file, LAYOUT + 1), from);
  expect(asked).toEqual([tiny.graph.file.path, tiny.table.file.path, tiny.graph.weights?.file.path]);
});

test('what the manifest gives to onnxruntime-web is not read here: it goes there, or is refused by name', async () => {
  const { asked, read: from } = reading(file);
  const given: TextTower = { ...tower, engine: 'onnxruntime' };
  await expect(engineOf('encoder.wasm').open(given, from)).rejects.toThrow(
    `this engine cannot run ${tiny.graph.file.path}: its manifest says that it is for onnxruntime-web`,
  );
  const other = { encode: async () => [], close: async () => {}, memoryBytes: () => 0 };
  const engine = createWasmEngine({ module: moduleOf('encoder.wasm'), otherwise: { open: async () => other } });
  expect(await engine.open(given, from)).toBe(other);
  expect(asked).toEqual([]);
});

test.each<[string, (whole: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>, string]>([
  ['no header', (whole) => whole.fill(0, 0, 10), 'it has no header'],
  [
    'the header of something else',
    (whole) => withHeader(whole, '{"format": "another"}'),
    'its header is not that of layout 3',
  ],
  ['a byte less than its sizes need', (whole) => whole.slice(0, -1), 'and weights of its sizes have 5440512'],
])('a file with %s is refused by name', async (_, damage, reason) => {
  const damaged = damage(file.slice());
  const opening = engineOf('encoder.wasm').open(towerOf(damaged), reading(damaged).read);
  await expect(opening).rejects.toMatchObject({
    code: 'model_unavailable',
    message: expect.stringContaining('The packed weights tiny.packed.bin cannot be used'),
  });
  await expect(opening).rejects.toThrow(reason);
});

test('a file that ends early is refused', async () => {
  const { read: from } = reading(file, () => cut(file.subarray(0, 4_000_000), [500_000]));
  await expect(engineOf('encoder.wasm').open(tower, from)).rejects.toThrow('it ends after 4000000 bytes');
});

function withHeader(whole: Uint8Array<ArrayBuffer>, text: string): Uint8Array<ArrayBuffer> {
  whole.fill(0x20, 0, RESERVED);
  whole.set(new TextEncoder().encode(text));
  return whole;
}

/** Published files are read by engines that come later: a change of places or of packing needs another number of the layout. */
test('layout 3 is what it was when files of it were first written', async () => {
  const sizes = { layers: 1, heads: 1, input: 16, width: 8, hidden: 16, output: 8, tokens: 3, epsilon: 1e-5 };
  const kind = {
    activation: 'gelu',
    preNorm: true,
    causal: true,
    padded: true,
    pooling: 'token',
    biased: true,
  } as const;
  const { kernels, floats, numbers, matrices, weightsEnd, workspace } = planTower(
    { ...sizes, ...kind },
    moduleOf('encoder.relaxed.wasm'),
  );
  expect(LAYOUT).toBe(3);
  expect([...numbers, ...matrices.map(({ name, at }) => [name, at])].map((place) => place.join(' '))).toEqual(PLACES);
  const bytes = new Uint8Array(floats.buffer);
  for (const { depth, columns, at } of matrices) {
    floats.fill(0.5, (at + depth * columns) / 4, (at + depth * columns) / 4 + columns);
    for (let i = 0; i < depth * columns; i++) bytes[workspace.x + i] = (i * 37) % 251;
    kernels.pack(workspace.x, depth, columns, at);
  }
  const image = bytes.slice(RESERVED, weightsEnd);
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', image));
  expect(Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')).toBe(IMAGE);
});
const PLACES = [
  'positions.weight 1024',
  'widen.weight 1152',
  'padding.rows 1664',
  'norm.weight 1792',
  'norm.bias 1856',
  'block0.norm1.weight 3264',
  'block0.norm1.bias 3328',
  'block0.norm2.weight 3392',
  'block0.norm2.bias 3456',
  'projection.weight 3520',
  'projection.bias 3776',
  'block0.qkv 1920',
  'block0.out 2432',
  'block0.up 2624',
  'block0.down 3008',
];
const IMAGE = 'b7fd89d849373eeb5d0666b1421b769d6b79c7c43039e80e8edb21a4520c58ae';
