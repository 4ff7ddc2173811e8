// A second real model, whose every answer is known from the first: a publication can be told from the vectors alone.
import sharp from 'sharp';
import { changed, digestOf, type TestModel } from './registry.ts';

export const VERSION = '9.0.0';

/**
 * Two words change places in the vocabulary, none of them in a golden text: each is read as the other was. The image
 * tower's file gets a doc_string, which computes nothing, and its input the mean 0 and deviation 1: of an image with the
 * value p the new model sees what the old one (mean and deviation 0.5) sees of one with the value p / 2 + 127.5.
 */
export function secondModel(first: TestModel, changes: Partial<TestModel['manifest']> = {}): TestModel {
  const { image } = first.manifest;
  const preprocess = { ...image.preprocess, mean: [0, 0, 0], std: [1, 1, 1] };
  const space_id = digestOf(JSON.stringify(preprocess));
  return changed(
    first,
    { version: VERSION, space_id, image: { ...image, preprocess }, ...changes },
    {
      'vocabulary.txt': exchangeWords,
      'image.onnx': (bytes) => Buffer.concat([bytes, Buffer.from([0x32, 1, 0x78])]),
    },
  );
}

export const WORDS = ['cat', 'car'] as const;

function exchangeWords(vocabulary: Buffer): Buffer {
  const [one, other] = WORDS;
  const words: Record<string, string> = { [one]: other, [other]: one };
  const lines = vocabulary.toString().split('\n');
  return Buffer.from(lines.map((line) => words[line] ?? line).join('\n'));
}

/** PNG files of the model's own size, so that nothing is resized: the second model sees `dark` as the first sees `bright`. */
export async function twinImages(size: number): Promise<{ dark: string; bright: string }> {
  const odd = Buffer.from(Array.from({ length: size * size * 3 }, (_, i) => ((i * i) % 128) * 2 + 1));
  const png = async (pixels: Buffer) =>
    (
      await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
        .png()
        .toBuffer()
    ).toString('base64');
  return { dark: await png(odd), bright: await png(Buffer.from(odd.map((value) => value / 2 + 127.5))) };
}
