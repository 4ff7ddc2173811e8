// The index of a vocabulary as a file, for deployments: where its entries begin and how, so that no isolate has to read it through.
import type { Artefact } from '../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { sha256Of } from '../registry/stores/hash.ts';
import type { ReadArtefact } from '../text/engine.ts';
import { encodeIndex, indexVocabulary } from '../text/tokenizers/pieces.ts';

/** Undefined for tokenizers that have none. */
export async function packIndex(
  { text: { tokenizer } }: Pick<ModelManifest, 'text'>,
  read: ReadArtefact,
): Promise<{ file: Artefact; bytes: Uint8Array<ArrayBuffer> } | undefined> {
  if (tokenizer.type !== 'wordpiece') return undefined;
  const bytes = encodeIndex(indexVocabulary(new TextDecoder().decode(await read(tokenizer.vocabulary))));
  const path = `${tokenizer.vocabulary.path}.index`;
  return { file: { path, digest: sha256Of(bytes), size: bytes.length }, bytes };
}
