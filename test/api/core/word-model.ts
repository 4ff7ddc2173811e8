// A model whose tokens are words and whose vectors are drawn by word: everything of api/core without a file.
import type { Engines, ImageEncoder, Space } from '../../../api/core/embed.ts';
import type { Model } from '../../../api/core/model.ts';
import { cutAndNormalise } from '../../../api/core/vectors/vectors.ts';
import type { Admit } from '../../../api/core/work.ts';
import type { Encode } from '../../../api/text/engine.ts';
import { PLAN_LIMITS } from '../../../contracts/src/api/limits.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { encodedFile } from '../../support/encode-results.ts';

export const DIMENSIONS = 512;
/** Of words that begin with a question mark. */
export const UNKNOWN = 3;
export const SPACE = `sha256:${'5'.repeat(64)}`;

/** Numbers of a normal distribution, always the same for a seed. */
export function draw(seed: number, length = DIMENSIONS): number[] {
  let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  return Array.from({ length }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
}

/** The sum of the words' vectors: texts with common words are near each other. */
export const encodeWords: Encode = async (inputs) =>
  inputs.map((ids) => {
    const sum = new Float32Array(DIMENSIONS);
    for (const id of ids) for (const [i, value] of draw(id).entries()) sum[i] = (sum[i] ?? 0) + value;
    return cutAndNormalise(sum, DIMENSIONS);
  });

export function wordModel(): Model {
  const calibration = { scale: 2, bias: -1 };
  const manifest = {
    name: 'words',
    space_id: SPACE,
    embed_dim: DIMENSIONS,
    matryoshka_dims: [512, 128, 64],
    text: { context_length: 32 },
    static: {},
    calibration: { text_image: calibration, text_text: calibration, image_image: calibration },
  } as Partial<ModelManifest> as ModelManifest;
  return {
    manifest,
    limits: PLAN_LIMITS.paid,
    tokenizer: async () => ({
      special: { before: [1], after: [2] },
      piece: String,
      unknown: UNKNOWN,
      encode(text) {
        const words = [...text.matchAll(/\S+/g)];
        const idOf = (word: string) =>
          word.startsWith('?')
            ? UNKNOWN
            : [...word].reduce((id, letter) => id * 31 + letter.charCodeAt(0), 7) % 1_000_003;
        return {
          ids: words.map(([word]) => idOf(word)),
          starts: words.map(({ index }) => index),
          ends: words.map(({ 0: word, index }) => index + word.length),
        };
      },
    }),
    encoder: async () => encodeWords,
    verify: async () => {},
    close: async () => {},
  };
}

/** Notes what is asked of it. */
export function notingEngines(): Engines & { permits: number[]; files: Uint8Array[] } {
  const permits: number[] = [];
  const files: Uint8Array[] = [];
  const admit: Admit = ({ size }, work) => {
    permits.push(size);
    return work();
  };
  const images: ImageEncoder = async (sent: Uint8Array[], { embedDim }: Space) => {
    files.push(...sent);
    return sent.map((file) => encodedFile(cutAndNormalise(draw(file.length, embedDim), embedDim)));
  };
  return { permits, files, admit, images };
}
