// The tokenizers of a model manifest: how a text becomes token ids, by family.
import * as z from 'zod';
import { Artefact } from './artefact.ts';

const count = z.int().positive();
const tokenId = (token: string) => z.int().nonnegative().describe(`Id of the ${token} token.`);

export const WordPieceTokenizer = z
  .strictObject({
    type: z.literal('wordpiece').describe("WordPiece with BERT's normalisation."),
    vocabulary: Artefact.describe('One entry per line; the line number, from 0, is the id.'),
    vocabulary_size: count.describe('Entries of the vocabulary.'),
    pad_id: tokenId('padding'),
    unk_id: tokenId('unknown'),
    cls_id: tokenId('first'),
    sep_id: tokenId('last'),
    fallback: z
      .literal('bytes')
      .optional()
      .describe(
        '`bytes`: emoji and other symbols are words of their own, words may have any length, and a character without an ' +
          'entry is read as the bytes of its UTF-8, entries `<0x00>` to `<0xFF>`. Absent: a word that does not fit, or of ' +
          'more than 100 characters, is one unknown token.',
      ),
  })
  .meta({ title: 'WordPieceTokenizer', description: 'How a text becomes token ids.' });
export type WordPieceTokenizer = z.infer<typeof WordPieceTokenizer>;

export const ClipBpeTokenizer = z
  .strictObject({
    type: z
      .literal('clip_bpe')
      .describe("CLIP's byte-pair encoding: NFC, lower case, words of letters, single digits."),
    vocabulary: Artefact.describe(
      'One entry per line; the line number, from 0, is the id. `</w>` ends the last one of a word.',
    ),
    merges: Artefact.describe('Two entries per line with a space between them; what is joined first comes first.'),
    vocabulary_size: count.describe('Entries of the vocabulary.'),
    pad_id: tokenId('padding'),
    unk_id: tokenId('unknown').describe('Id of the unknown token, which a vocabulary with all bytes never needs.'),
    cls_id: tokenId('first'),
    sep_id: tokenId('last'),
  })
  .meta({ title: 'ClipBpeTokenizer', description: 'How a text becomes token ids, as CLIP reads it.' });
export type ClipBpeTokenizer = z.infer<typeof ClipBpeTokenizer>;

export const SentencePieceTokenizer = z
  .strictObject({
    type: z.literal('sentencepiece').describe('SentencePiece, unigram or byte pairs, as its library reads a text.'),
    vocabulary: Artefact.describe("The library's model file: pieces with scores, rules of normalisation."),
    vocabulary_size: count.describe('Entries of the vocabulary.'),
    pad_id: tokenId('padding'),
    unk_id: tokenId('unknown'),
    sep_id: tokenId('last'),
    cleaning: z
      .enum(['lower', 'canonical', 'canonical_spaced'])
      .optional()
      .describe(
        'What is done to a text before. `lower`: lower case, letter by letter. `canonical`: lower case, without ASCII ' +
          'punctuation, white space collapsed. `canonical_spaced`: the same, but `_` becomes a space. Absent: nothing.',
      ),
  })
  .meta({ title: 'SentencePieceTokenizer', description: 'How a text becomes token ids, as SigLIP reads it.' });
export type SentencePieceTokenizer = z.infer<typeof SentencePieceTokenizer>;

export const TextTokenizer = z
  .discriminatedUnion('type', [WordPieceTokenizer, ClipBpeTokenizer, SentencePieceTokenizer])
  .describe('How a text becomes token ids.');
export type TextTokenizer = z.infer<typeof TextTokenizer>;
