// SentencePiece, exact against the library: unigram and byte-pair models, with what SigLIP's tokenizers do to a text before.
import type { SentencePieceTokenizer } from '../../../../contracts/src/model/tokenizer.ts';
import type { ReadArtefact, Tokenizer, Tokens } from '../../engine.ts';
import { createBpe } from './bpe.ts';
import { cleaned } from './cleaning.ts';
import { KIND, type ModelFile, readModelFile } from './model-file.ts';
import { createMatcher, createNormalizer, SPACE } from './normalize.ts';
import { createUnigram } from './unigram.ts';
import { utf8 } from './utf8.ts';

type Config = Pick<SentencePieceTokenizer, 'unk_id' | 'sep_id' | 'cleaning'>;

export async function openSentencePiece(config: SentencePieceTokenizer, read: ReadArtefact): Promise<Tokenizer> {
  return createSentencePiece(new Uint8Array(await read(config.vocabulary)), config);
}

/** `file`: the library's model file. */
export function createSentencePiece(file: Uint8Array, { unk_id, sep_id, cleaning }: Config): Tokenizer {
  const model = readModelFile(file);
  const { pieces, algorithm, byteFallback } = model;
  const symbols = createMatcher(pieces.flatMap(({ text, kind }) => (kind === KIND.userDefined ? [text] : [])));
  const normalize = createNormalizer(model, symbols);
  const split = algorithm === 'unigram' ? createUnigram(pieces) : createBpe(pieces);
  const bytes = new Map(pieces.flatMap(({ text, kind }, id) => (kind === KIND.byte ? [[text, id] as const] : [])));
  const idOfByte = (byte: number) => bytes.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`) ?? unk_id;
  const isCut = canBeCut(model, cleaning);
  const options = { trimmed: !model.removeExtraWhitespaces };

  return {
    special: { before: [], after: [sep_id] },
    piece: (id) => (pieces[id]?.text ?? '').replaceAll(SPACE, ''),
    unknown: unk_id,
    spells: byteFallback,
    ...(isCut && { seam }),
    encode(text) {
      const { units, starts, ends } = normalize(cleaned(text, cleaning, options));
      const tokens: Tokens = { ids: [], starts: [], ends: [], unknown: [] };
      function add(id: number, from: number, until: number): void {
        tokens.ids.push(id);
        tokens.starts.push(starts[from] ?? 0);
        tokens.ends.push(ends[until - 1] ?? 0);
      }
      let isAfterUnknown = false;
      for (const { from, until, id } of split(units)) {
        const isUnknown = id === undefined;
        if (!isUnknown) add(id, from, until);
        else if (byteFallback) {
          for (const character of units.slice(from, until))
            for (const byte of utf8(character.codePointAt(0) ?? 0)) add(idOfByte(byte), from, until);
        } else if (isAfterUnknown) tokens.ends[tokens.ends.length - 1] = ends[until - 1] ?? 0;
        else add(unk_id, from, until);
        isAfterUnknown = isUnknown;
      }
      tokens.unknown = tokens.ids.map((id) => id === unk_id);
      return tokens;
    },
  };
}

/** Before a space that has none before it, nor the sign that stands for one in pieces and that a text may hold, too. */
function seam(text: string, from: number): number {
  SEAM.lastIndex = from;
  return from < text.length ? (SEAM.exec(text)?.index ?? text.length) : text.length;
}
const SEAM = new RegExp(`(?<![\\s${SPACE}])(?= )`, 'g');

/** Whether a text may be cut before a space: no piece reaches over it, and what follows it is read as the start of a text. */
function canBeCut(
  { pieces, addDummyPrefix, removeExtraWhitespaces }: ModelFile,
  cleaning: Config['cleaning'],
): boolean {
  const isTrimmed = removeExtraWhitespaces || (cleaning !== undefined && cleaning !== 'lower');
  return addDummyPrefix === isTrimmed && !pieces.some(({ text }) => REACHES.test(text));
}
const REACHES = new RegExp(`[^${SPACE}]${SPACE}`);
