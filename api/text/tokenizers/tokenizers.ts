// The table of tokenizer families: another family is a file or folder beside this one and a row here.
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import type { ReadArtefact, Tokenizer } from '../engine.ts';
import { openWordPiece } from './wordpiece.ts';

type TokenizerConfig = ModelManifest['text']['tokenizer'];
type Families = {
  [T in TokenizerConfig['type']]: (
    config: Extract<TokenizerConfig, { type: T }>,
    read: ReadArtefact,
  ) => Promise<Tokenizer>;
};

export const TOKENIZERS: Families = { wordpiece: openWordPiece };

export function openTokenizer(config: TokenizerConfig, read: ReadArtefact): Promise<Tokenizer> {
  return TOKENIZERS[config.type](config, read);
}
