// Decodes image bytes to upright 8-bit RGB within limits. Every rule has its twin in trainer/towers/preprocess.py.
import sharp from 'sharp';
import { LIMITS } from '../../../contracts/src/api/embed.ts';
import type { ErrorCode } from '../../../contracts/src/api/error.ts';
import { type ImageHeader, readImageHeader } from '../../core/image-header.ts';

/** Rows from the top, three bytes per pixel. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** JPEG's and GIF's own bound. It keeps a 1 x 16,000,000 image from needing 16,000,000 rows of resize weights. */
export const MAX_SIDE = 65_535;
const DECODE_SECONDS = 20;

// One thread per image and no cache: memory is then bounded by the number of images that are decoded at a time.
sharp.cache(false);
sharp.concurrency(1);

/** The client's file is at fault: `code` says how, `message` says the limit and what was sent. */
export class ImageRefused extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'ImageRefused';
    this.code = code;
  }
}

/** The header of a file that may be decoded, else an `ImageRefused`. Decodes nothing. */
export function checkImage(bytes: Uint8Array): ImageHeader {
  if (bytes.length > LIMITS.image_bytes) {
    const sizes = `${grouped(bytes.length)} bytes; at most ${grouped(LIMITS.image_bytes)} are allowed`;
    throw new ImageRefused('image_too_large', `the image file has ${sizes}: send a smaller or more compressed one`);
  }
  const header = readImageHeader(bytes, true);
  const accepted = 'JPEG, PNG, WebP, GIF and AVIF files are accepted';
  if (header === 'svg') throw new ImageRefused('unsupported_image_type', `SVG is not supported: ${accepted}`);
  if (header === 'unknown') {
    throw new ImageRefused('not_an_image', `the ${grouped(bytes.length)} bytes sent are not an image: ${accepted}`);
  }
  if (header === 'broken' || header === 'incomplete') {
    throw new ImageRefused('broken_image', 'the image file is cut off or damaged: its header tells no size');
  }
  const { width, height } = header;
  if (width * height > LIMITS.image_pixels || Math.max(width, height) > MAX_SIDE) {
    const has = `${grouped(width)} x ${grouped(height)} = ${grouped(width * height)} pixels`;
    const allowed = `${grouped(LIMITS.image_pixels)} pixels and ${grouped(MAX_SIDE)} on a side`;
    throw new ImageRefused('too_many_pixels', `the image has ${has}; at most ${allowed} are allowed: shrink it first`);
  }
  return header;
}

/**
 * The first frame, EXIF orientation applied, embedded colour profiles ignored, 16-bit samples cut to their high byte,
 * CMYK by Pillow's formula, alpha composited over white. Throws `ImageRefused` where the file is at fault.
 */
export async function decode(bytes: Uint8Array): Promise<Picture> {
  const { type } = checkImage(bytes);
  try {
    const { data, info, cmyk } = await decodeRaw(bytes, type === 'jpeg');
    const { width, height } = info;
    if (cmyk) return { width, height, pixels: cmykToRgb(data) };
    if (info.channels === 4) return { width, height, pixels: overWhite(data) };
    if (info.channels === 3) return { width, height, pixels: data };
    throw new Error(`it has ${info.channels} channels`);
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new ImageRefused('broken_image', `the ${type.toUpperCase()} file cannot be decoded: ${reason}`);
  }
}

async function decodeRaw(bytes: Uint8Array, mayBeCmyk: boolean) {
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

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
