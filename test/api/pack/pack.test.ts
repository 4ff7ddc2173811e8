// Weights packed for a deployment or a publication: what the manifest says then, and that nothing is published which does not compute it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMBEDDED_MODEL } from '../../../api/dev/bundle.ts';
import { packCandidate } from '../../../api/pack/candidate.ts';
import { type Packed, packModel } from '../../../api/pack/pack.ts';
import { provePacked } from '../../../api/pack/prove.ts';
import { openArtefact, type Publishable } from '../../../api/registry/candidate.ts';
import { objectOf } from '../../../api/registry/store.ts';
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import { LAYOUT } from '../../../api/text/wasm/open-tower.ts';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { ownArtefacts, withPacked } from '../../../contracts/src/model/towers.ts';

const read = async ({ path }: Artefact) => Uint8Array.from(await readFile(join(EMBEDDED_MODEL, path))).buffer;
let manifest: ModelManifest;
let packed: Packed;
beforeAll(async () => {
  manifest = ModelManifest.parse(JSON.parse(await readFile(join(EMBEDDED_MODEL, 'manifest.json'), 'utf8')));
  packed = await packModel(manifest, read);
}, 60_000);

/** Where the first number of the first place's embedding has its exponent, which every text reads. */
const EXPONENT = 1024 + 3;

/** The files of the model with packed ones among them. */
function filesWith(files: Packed['files']): (artefact: Artefact) => Promise<ArrayBuffer> {
  return async (artefact) => files.get(artefact.path)?.slice().buffer ?? read(artefact);
}

describe('the embedded model', () => {
  it('is for our own engine, which reads its packed weights and no graph', () => {
    const { student, tiny } = packed.towers;
    expect([student?.engine, tiny?.engine]).toEqual(['own', 'own']);
    expect([student?.packed?.file.path, tiny?.packed?.file.path]).toEqual(['text.packed.bin', 'tiny.packed.bin']);
    for (const { file } of [student?.packed, tiny?.packed].flatMap((each) => each ?? [])) {
      expect(sha256Of(packed.files.get(file.path) ?? '')).toBe(file.digest);
    }
    const served = ModelManifest.parse(withPacked(manifest, packed.towers));
    expect(
      ownArtefacts(served)
        .map(({ path }) => path)
        .toSorted(),
    ).toEqual([
      'static.projection.bin',
      'static.table.bin',
      'text.packed.bin',
      'text.table.bin',
      'tiny.packed.bin',
      'tiny.table.bin',
      'vocabulary.txt',
    ]);
  });

  it('computes its golden vectors with them', async () => {
    await provePacked(withPacked(manifest, packed.towers), { read: filesWith(packed.files) });
  });

  it('is refused with the worst of them where one byte of packed weights is not what it was', async () => {
    const files = new Map(packed.files);
    const file = files.get('tiny.packed.bin')?.slice() ?? new Uint8Array();
    file[EXPONENT] = (file[EXPONENT] ?? 0) ^ 0x40;
    files.set('tiny.packed.bin', file);
    const { tiny } = packed.towers;
    const descriptor = { path: 'tiny.packed.bin', digest: sha256Of(file), size: file.length };
    const towers = { ...packed.towers, tiny: { ...tiny, packed: { file: descriptor, layout: LAYOUT } } };
    await expect(provePacked(withPacked(manifest, towers), { read: filesWith(files) })).rejects.toThrow(
      /the packed weights of edge-clip-small .* do not compute its vectors: .*the worst, of tiny, with cosine/,
    );
    // Under the name of the right bytes it is not even opened.
    const named = withPacked(manifest, packed.towers);
    await expect(provePacked(named, { read: filesWith(files) })).rejects.toThrow(
      'tiny.packed.bin is not what its name says',
    );
  });
});

it('a graph that our own engine does not run is for onnxruntime-web', async () => {
  const { tiny: _, ...rest } = manifest;
  const other: ModelManifest = { ...rest, text: { ...manifest.text, graph: manifest.image.graph } };
  expect(await packModel(other, read)).toEqual({ towers: { student: { engine: 'onnxruntime' } }, files: new Map() });
});

describe('a candidate', () => {
  const candidateOf = (of: ModelManifest): Publishable => {
    const bytes = new TextEncoder().encode(JSON.stringify(of));
    return {
      run: {
        uri: 'memory:',
        get: async (key) => objectOf(await readFile(join(EMBEDDED_MODEL, key.slice('model/'.length)))),
      },
      base: 'model/',
      bytes,
      digest: sha256Of(bytes),
      manifest: of,
      evaluated: { metrics: {} },
      dev_data: null,
    };
  };

  it('is published with packed weights, under one digest whoever packs it', async () => {
    const made = await packCandidate(candidateOf(manifest));
    expect(made.manifest).toEqual(withPacked(manifest, packed.towers));
    expect(made.digest).toBe(sha256Of(made.bytes));
    expect(ModelManifest.parse(JSON.parse(new TextDecoder().decode(made.bytes)))).toEqual(made.manifest);
    const file = made.manifest.tiny?.packed?.file;
    if (!file) throw new Error('nothing was packed');
    expect(await (await openArtefact(made, file)).digest()).toBe(file.digest);
    expect((await packCandidate(candidateOf(manifest))).digest).toBe(made.digest);
    // A manifest that says so already stays what it is.
    expect(await packCandidate(made)).toBe(made);
  });

  it('does not keep packed weights that its graph does not make', async () => {
    const { student, tiny } = packed.towers;
    const stale = await packCandidate(candidateOf(withPacked(manifest, { student: tiny ?? {}, tiny: student ?? {} })));
    expect(stale.manifest).toEqual(withPacked(manifest, packed.towers));
  });

  it('whose manifest gives its transformers to onnxruntime-web is published as it is', async () => {
    const { tiny: _, ...rest } = manifest;
    const given = candidateOf({ ...rest, text: { ...manifest.text, engine: 'onnxruntime' } });
    expect(await packCandidate(given)).toBe(given);
  });

  it("is refused where its golden vectors are another model's", async () => {
    const golden = manifest.golden.map((each) => ({ ...each, embedding: each.embedding.map((value) => -value) }));
    await expect(packCandidate(candidateOf({ ...manifest, golden }))).rejects.toThrow('do not compute its vectors');
  });
});
