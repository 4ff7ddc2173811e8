// The table of tokenizer families: another family is a file or folder beside this one and a row here.
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, Tokenizer } from '../engine.ts';
import { openClipBpe } from './clip-bpe.ts';
import { openSentencePiece } from './sentencepiece/sentencepiece.ts';
import { openWordPiece } from './wordpiece.ts';

type TokenizerConfig = ModelManifest['text']['tokenizer'];
type Family = TokenizerConfig['type'];
type ConfigOf<F extends Family> = Extract<TokenizerConfig, { type: F }> & { type: F };

/** By the `type` that a manifest names. The compiler asks for a row per type of the contract. */
export const TOKENIZERS: { [F in Family]: (config: ConfigOf<F>, read: ReadArtefact) => Promise<Tokenizer> } = {
  wordpiece: openWordPiece,
  clip_bpe: openClipBpe,
  sentencepiece: openSentencePiece,
};

export function openTokenizer<F extends Family>(config: ConfigOf<F>, read: ReadArtefact): Promise<Tokenizer> {
  const family: F = config.type;
  return TOKENIZERS[family](config, read);
}
