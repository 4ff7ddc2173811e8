// Image bytes to upright 8-bit RGB. sharp only decodes; every rule has its twin in trainer/towers/preprocess.py.
import sharp from 'sharp';
import { LIMITS } from '../../contracts/src/embed.ts';
import { broken, checkImage, type ImageHeader } from '../shared/image-header.ts';

/** Rows from the top, three bytes a pixel. */
export type Picture = { width: number; height: number; pixels: Uint8Array };

const DECODE_SECONDS = 20;

// One image a thread and nothing kept: memory is then bounded by how many images are decoded at once.
sharp.cache(false);
sharp.concurrency(1);

/**
 * The first frame, EXIF orientation applied, embedded colour profiles ignored, 16-bit samples cut to their high byte,
 * alpha composited over white. Throws `ImageRefused` where the file is at fault, before decoding wherever possible.
 */
export async function decode(bytes: Uint8Array): Promise<Picture> {
  const header = checkImage(bytes);
  const { data, channels, width, height } = await decodeRaw(bytes, header);
  if (header.cmyk && channels === 4) return { width, height, pixels: cmykToRgb(data) };
  if (channels === 4) return { width, height, pixels: overWhite(data) };
  if (channels === 3) return { width, height, pixels: data };
  throw broken(header.type, `it has ${channels} channels`);
}

async function decodeRaw(bytes: Uint8Array, header: ImageHeader) {
  const input = { limitInputPixels: LIMITS.image_pixels, sequentialRead: true, pages: 1, ignoreIcc: true } as const;
  try {
    // 'error' lets pass what every viewer shows (a stray byte between JPEG segments) and refuses what is cut off.
    let image = sharp(bytes, { ...input, autoOrient: true, failOn: 'error' }).timeout({ seconds: DECODE_SECONDS });
    if (header.cmyk) image = image.pipelineColourspace('cmyk').toColourspace('cmyk');
    const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
    return { data, channels: info.channels as number, width: info.width, height: info.height };
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw broken(header.type, String(reason));
  }
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

/** (c * a + 255 * (255 - a)) / 255, rounded, in place: what was transparent becomes paper, not its hidden colour. */
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
