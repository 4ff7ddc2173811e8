// The table of tokenizer families: another family is a file or folder beside this one and a row here.
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, Tokenizer } from '../engine.ts';
import { openClipBpe } from './clip-bpe.ts';
import { openSentencePiece } from './sentencepiece/sentencepiece.ts';
import { openWordPiece } from './wordpiece.ts';

type TokenizerConfig = ModelManifest['text']['tokenizer'];
type Family = TokenizerConfig['type'];
type ConfigOf<F extends Family> = Extract<TokenizerConfig, { type: F }> & { type: F };

/** `index`: a file of what is otherwise made of the vocabulary, for families that look into it. */
type Open<F extends Family> = (config: ConfigOf<F>, read: ReadArtefact, index?: Artefact) => Promise<Tokenizer>;

/** By the `type` that a manifest names. The compiler asks for a row per type of the contract. */
export const TOKENIZERS: { [F in Family]: Open<F> } = {
  wordpiece: openWordPiece,
  clip_bpe: openClipBpe,
  sentencepiece: openSentencePiece,
};

export function openTokenizer<F extends Family>(
  config: ConfigOf<F>,
  read: ReadArtefact,
  index?: Artefact,
): Promise<Tokenizer> {
  const family: F = config.type;
  return TOKENIZERS[family](config, read, index);
}
