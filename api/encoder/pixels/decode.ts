// Decodes image bytes to upright 8-bit RGB within limits. Every rule has its twin in trainer/towers/preprocess.py.
import sharp from 'sharp';
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import { CoreError } from '../../core/errors.ts';
import { checkImage } from '../../core/images/check.ts';

/** Rows from the top, three bytes per pixel. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8Array;
}

const DECODE_SECONDS = 20;

// One thread per image and no cache: memory is then bounded by the number of images that are decoded at a time.
sharp.cache(false);
sharp.concurrency(1);

/**
 * The first frame, EXIF orientation applied, embedded colour profiles ignored, 16-bit samples cut to their high byte,
 * CMYK by Pillow's formula, alpha composited over white. Throws `CoreError` where the file is at fault.
 */
export async function decode(bytes: Uint8Array): Promise<Picture> {
  const { type } = checkImage(bytes);
  try {
    const { data, info, cmyk } = await decodeRaw(bytes, { mayBeCmyk: type === 'jpeg' });
    const { width, height } = info;
    if (cmyk) return { width, height, pixels: cmykToRgb(data) };
    if (info.channels === 4) return { width, height, pixels: overWhite(data) };
    if (info.channels === 3) return { width, height, pixels: data };
    throw new Error(`it has ${info.channels} channels`);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new CoreError('broken_image', `the ${type.toUpperCase()} file cannot be decoded: ${reason}`);
  }
}

async function decodeRaw(bytes: Uint8Array, { mayBeCmyk }: { mayBeCmyk: boolean }) {
  const guards = { limitInputPixels: LIMITS.image_pixels, sequentialRead: true, pages: 1 } as const;
  // 'error' accepts what every viewer shows (a stray byte between JPEG segments) and refuses a file that is cut off.
  const open = () => sharp(bytes, { ...guards, failOn: 'error', ignoreIcc: true, autoOrient: true });
  const cmyk = mayBeCmyk && (await open().metadata()).space === 'cmyk';
  const image = cmyk ? open().pipelineColourspace('cmyk').toColourspace('cmyk') : open();
  const output = image.timeout({ seconds: DECODE_SECONDS }).raw();
  return { cmyk, ...(await output.toBuffer({ resolveWithObject: true })) };
}

/** (255 - ink) * (255 - black) / 255 with Pillow's rounding, in place. */
function cmykToRgb(data: Uint8Array): Uint8Array {
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const light = 255 - (data[from + 3] ?? 0);
    for (let ink = 0; ink < 3; ink++) {
      const product = (255 - (data[from + ink] ?? 0)) * light + 128;
      data[to++] = ((product >> 8) + product) >> 8;
    }
  }
  return data.subarray(0, (data.length / 4) * 3);
}

/** (c * a + 255 * (255 - a)) / 255, rounded, in place: a transparent pixel becomes white and not its hidden colour. */
function overWhite(data: Uint8Array): Uint8Array {
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const alpha = data[from + 3] ?? 0;
    const white = 255 * (255 - alpha) + 127;
    for (let channel = 0; channel < 3; channel++) {
      data[to++] = ((data[from + channel] ?? 0) * alpha + white) / 255;
    }
  }
  return data.subarray(0, (data.length / 4) * 3);
}
