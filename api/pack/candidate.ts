// A model as it is published: with packed weights beside its files, proven to compute its golden vectors.
import { isDeepStrictEqual } from 'node:util';
import { withPacked } from '../../contracts/src/model/towers.ts';
import { type ExportedModel, openArtefact, type Publishable, readCandidate } from '../registry/candidate.ts';
import type { ModelSource } from '../registry/read.ts';
import { encodeDocument, type ObjectReader, objectOf } from '../registry/store.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import { openStore } from '../registry/stores/open.ts';
import { type Packed, packModel } from './pack.ts';
import { provePacked } from './prove.ts';

/** The finished runs of a model, by the URIs of their folders, and what its figures were measured on. */
export interface ModelRuns {
  exported: string;
  evaluated: string;
  dev_data: string;
}

/** What its runs say of a model, checked, with packed text weights beside its files. */
export async function candidateOf({ exported, evaluated, dev_data }: ModelRuns): Promise<ExportedModel> {
  return packCandidate(await readCandidate(openStore(exported), openStore(evaluated), dev_data));
}

/**
 * The same candidate, whose manifest names them: gate and publisher see one digest, because the same weights are packed to the same
 * bytes. Throws a RegistryError where a golden vector is not reproduced.
 */
export async function packCandidate<T extends Publishable>(candidate: T): Promise<T> {
  let refused: unknown;
  const read: ModelSource['read'] = async (artefact) => {
    try {
      return Uint8Array.from(await (await openArtefact(candidate, artefact)).bytes()).buffer;
    } catch (error) {
      refused ??= error;
      throw error;
    }
  };
  const { towers, files } = await packModel(candidate.manifest, read);
  const manifest = withPacked(candidate.manifest, towers);
  await provePacked(manifest, {
    read: async (artefact) => files.get(artefact.path)?.slice().buffer ?? read(artefact),
  }).catch((error: unknown) => {
    // Who opens a model to serve it says of every file that it is not available: what is wrong with it, its reader has said.
    throw refused ?? error;
  });
  if (isDeepStrictEqual(manifest, candidate.manifest)) return candidate;
  const bytes = encodeDocument(manifest);
  return { ...candidate, manifest, bytes, digest: sha256Of(bytes), run: beside(candidate, files) };
}

/** The store of its files, and those that are not in it. */
const beside = ({ run, base }: Publishable, files: Packed['files']): ObjectReader => ({
  ...run,
  async get(key) {
    const file = key.startsWith(base) ? files.get(key.slice(base.length)) : undefined;
    return file ? objectOf(file) : run.get(key);
  },
});
