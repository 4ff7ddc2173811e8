// Packs the text weights of a model once, for the Worker's own engine: what a deployment and a publisher put beside its files.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest, TextTower } from '../../contracts/src/model/manifest.ts';
import { type PackedTowers, textTowers } from '../../contracts/src/model/towers.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { RegistryError } from '../registry/errors.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import type { ReadArtefact } from '../text/engine.ts';
import { once } from '../text/once.ts';
import { LAYOUT, packTower } from '../text/wasm/open-tower.ts';

/** The build that most Workers run; either packs the same bytes. A function of the control plane has it beside its bundle. */
const MODULES = ['encoder.relaxed.wasm', '../text/wasm/encoder.relaxed.wasm'].map(
  (path) => new URL(path, import.meta.url),
);

export interface Packed {
  towers: PackedTowers;
  /** What `towers` names, by path. */
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
}

/** The module that packs, and that runs what was packed; compiled once. */
export const readModule = once(async (): Promise<WebAssembly.Module> => {
  const file = MODULES.find((each) => existsSync(each));
  if (!file) throw new Error('the module of the text engine is missing: npm run encoder-module makes it');
  return new WebAssembly.Module(await readFile(file));
});

/**
 * Of every transformer: who runs it, and its packed weights where that is our own engine. They are made of its graph, whatever the
 * manifest says of packed ones: it may be that of a model before this one. A graph that it gives to onnxruntime-web is not read.
 */
export async function packModel(manifest: ModelManifest, read: ReadArtefact): Promise<Packed> {
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  const towers: PackedTowers = {};
  const module = await readModule();
  for (const [tier, tower] of Object.entries(textTowers(manifest))) {
    if (tower.engine === 'onnxruntime') continue;
    const packed = await packTower(tower, read, module).catch((error: unknown) => {
      if (error instanceof RegistryError) throw error;
      throw new RegistryError(`${tower.graph.file.path} cannot be packed: ${reasonOf(error)}`);
    });
    if ('other' in packed) {
      towers[tier as keyof PackedTowers] = { engine: 'onnxruntime' };
      continue;
    }
    const file: Artefact = { path: pathOf(tower), digest: sha256Of(packed), size: packed.length };
    files.set(file.path, packed);
    towers[tier as keyof PackedTowers] = { engine: 'own', packed: { file, layout: LAYOUT } };
  }
  return { towers, files };
}

/** `text.onnx` is packed to `text.packed.bin`. */
const pathOf = ({ graph }: TextTower): string => graph.file.path.replace(/(\.onnx)?$/, '.packed.bin');
