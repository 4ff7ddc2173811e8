// Decodes image bytes to upright 8-bit RGB within limits. Every rule has its twin in trainer/towers/preprocess.py.

import sharp, { type FailOnOptions } from 'sharp';
import type { ImageType } from '../../../contracts/src/api/encode.ts';
import { LIMITS } from '../../../contracts/src/api/limits.ts';
import { reasonOf } from '../../../contracts/src/user-error.ts';
import { CoreError } from '../../core/errors.ts';
import { brandsOf } from '../../core/images/bytes.ts';
import { checkImage } from '../../core/images/check.ts';
import { jpegComponents } from '../../core/images/header.ts';
import { codingOf, faultOf, NO_END_MARK, warningOf } from './faults.ts';

/** Rows from the top, three bytes per pixel. */
export interface Picture {
  width: number;
  height: number;
  pixels: Uint8Array;
}
export interface DecodedPicture extends Picture {
  /** As people see it, EXIF orientation applied: twice the picture's where it was halved. */
  original: { type: ImageType; width: number; height: number };
  /** What was wrong with the file, which was read all the same. */
  warnings: string[];
}

const DECODE_SECONDS = 20;

// One thread per image and no cache: memory is then bounded by the number of images that are decoded at a time.
sharp.cache(false);
sharp.concurrency(1);

/**
 * The first frame, EXIF orientation applied, embedded colour profiles ignored, 16-bit samples cut to their high byte,
 * CMYK by Pillow's formula, alpha composited over white; above `LIMITS.image_pixels` half as wide and half as high. Throws
 * `CoreError` where the file is at fault.
 */
export async function decode(bytes: Uint8Array): Promise<DecodedPicture> {
  const { type, width, height } = checkImage(bytes);
  const source = {
    bytes: type === 'avif' ? asStill(bytes) : bytes,
    type,
    isHalved: width * height > LIMITS.image_pixels,
  };
  try {
    return { ...(await read(source, 'warning')), warnings: [] };
  } catch (first) {
    refuseUnlessFile(first);
    try {
      // 'error' accepts what every viewer shows (a stray byte between JPEG segments) and refuses a file that is cut off.
      const decoded = await read(source, 'error');
      const warning = warningOf(reasonOf(first));
      return { ...decoded, warnings: warning ? [warning] : [] };
    } catch (error) {
      refuseUnlessFile(error);
      if (/unsupported|not supported/i.test(reasonOf(error))) {
        throw new CoreError('unsupported_image_type', codingOf(type));
      }
      const isMarkOnly = type === 'jpeg' && (await isWholeWithEndMark(source));
      throw new CoreError('broken_image', isMarkOnly ? NO_END_MARK : faultOf(bytes, type));
    }
  }
}

interface Source {
  bytes: Uint8Array;
  type: ImageType;
  isHalved: boolean;
}

async function read({ bytes, type, isHalved }: Source, failOn: FailOnOptions) {
  const guards = {
    limitInputPixels: isHalved ? LIMITS.photo_pixels : LIMITS.image_pixels,
    sequentialRead: true,
    pages: 1,
  } as const;
  const open = () => sharp(bytes, { ...guards, failOn, ignoreIcc: true, autoOrient: true });
  const cmyk = type === 'jpeg' && jpegComponents(bytes) === 4;
  let image = cmyk ? open().pipelineColourspace('cmyk').toColourspace('cmyk') : open();
  // Only of a file that is halved: asking costs as much as a tenth of decoding a small photograph.
  const whole = isHalved ? (await open().metadata()).autoOrient : undefined;
  if (whole) {
    const half = { width: Math.ceil(whole.width / 2), height: Math.ceil(whole.height / 2) };
    image = image.resize({ ...half, fit: 'fill', kernel: 'cubic' });
  }
  const output = image.timeout({ seconds: DECODE_SECONDS }).raw();
  const { data, info } = await output.toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  let pixels: Uint8Array = data;
  if (cmyk) pixels = cmykToRgb(data);
  else if (channels === 4) pixels = overWhite(data);
  if (pixels.length !== 3 * width * height) throw new Error(`it has ${channels} channels`);
  const original = { type, width: whole?.width ?? width, height: whole?.height ?? height };
  return { width, height, pixels, original };
}

/** Throws on where the file is not to blame: a machine that is too slow or has no memory left. */
function refuseUnlessFile(error: unknown): void {
  const reason = reasonOf(error);
  if (/timeout/i.test(reason)) {
    const message = `decoding the image took longer than ${DECODE_SECONDS} seconds: the machine is busy, try again.`;
    throw new CoreError('encoder_timeout', message);
  }
  // libheif calls it an allocation where a file asks for more than it is allowed to: that is the file's fault.
  if (/alloc|memory|thread/i.test(reason) && !/security limit/i.test(reason)) throw error;
  if (/pixel limit|maximum image size/i.test(reason)) {
    throw new CoreError(
      'too_many_pixels',
      'the image has more pixels than its header says, and more than are allowed.',
    );
  }
}

async function isWholeWithEndMark({ bytes, ...source }: Source): Promise<boolean> {
  const marked = Buffer.concat([bytes, Buffer.from([0xff, 0xd9])]);
  return read({ ...source, bytes: marked }, 'warning').then(
    () => true,
    () => false,
  );
}

/** Of a sequence, the still picture that it carries beside its frames, and which is the first of them. */
function asStill(bytes: Uint8Array): Uint8Array {
  if (brandsOf(bytes)[0] !== 'avis') return bytes;
  const still = Uint8Array.from(bytes);
  still.set(Buffer.from('avif'), 8);
  return still;
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
