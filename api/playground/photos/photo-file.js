// A photo's file, made ready: what is sent, no larger than the model reads, and a small picture for the wall.
import { Refusal } from './reasons.js';

/** Longest side in pixels of what is sent; the model would shrink it anyway. */
const SENT_SIDE = 512;
/** Of what the wall shows, on screens with two pixels per pixel. */
const SHOWN_SIDE = 384;
/** A file of few pixels and many bytes is written anew. */
const SENT_BYTES = 1024 * 1024;

/** @typedef {{sent: Blob, shown: Blob, width: number, height: number}} Prepared */

/**
 * @param {Blob} file @param {Uint8Array} first bytes of it @param {number} mostBytes that the service takes of a file
 * @returns {Promise<Prepared>}
 */
export async function prepare(file, first, mostBytes) {
  if (file.size === 0) throw new Refusal('empty');
  const kind = kindOf(first);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return undecoded(file, kind, mostBytes);
  }
  const { width, height } = bitmap;
  try {
    const isSmall = Math.max(width, height) <= SENT_SIDE && file.size <= Math.min(SENT_BYTES, mostBytes);
    const sent = isSmall && kind === 'taken' ? file : await shrunk(bitmap, SENT_SIDE, 0.9);
    const shown = Math.max(width, height) <= SHOWN_SIDE && isSmall ? file : await shrunk(bitmap, SHOWN_SIDE, 0.8);
    return { sent, shown, width, height };
  } finally {
    // Twelve megapixels are 48 MB, which nothing else gives back soon.
    bitmap.close();
  }
}

/** What the browser cannot decode, the service may: it reads photos whose end is missing. @param {Blob} file @param {string} kind @param {number} mostBytes */
function undecoded(file, kind, mostBytes) {
  if (kind !== 'taken') throw new Refusal(kind);
  if (file.size > mostBytes) throw new Refusal('broken');
  return { sent: file, shown: file, width: 4, height: 3 };
}

/** @param {ImageBitmap} bitmap @param {number} side @param {number} quality @returns {Promise<Blob>} */
async function shrunk(bitmap, side, quality) {
  const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext('2d');
  if (!context) throw new Refusal('memory');
  // As the model's own reading of transparent pictures.
  context.fillStyle = 'white';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((done) => canvas.toBlob(done, 'image/jpeg', quality));
  canvas.width = 0;
  if (!blob) throw new Refusal('memory');
  return blob;
}

/** `taken` where the service reads such files, else what it is, as far as the page has advice for it. @param {Uint8Array} bytes */
function kindOf(bytes) {
  const text = String.fromCharCode(...bytes);
  const brand = text.slice(4, 8) === 'ftyp' ? text.slice(8) : '';
  if (/^(heic|heix|heim|heis|hevc|hevx)/.test(brand) || /^(mif1|msf1)(?!.*avif)/s.test(brand)) return 'heic';
  if (/^(qt {2}|isom|mp4|M4V|3gp)/.test(brand) || text.startsWith('\x1aE\xdf\xa3')) return 'video';
  if (/avif|avis/.test(brand) || /^(\xff\xd8\xff|\x89PNG|GIF8)/.test(text) || text.slice(8, 12) === 'WEBP')
    return 'taken';
  if (/^(II\*\0|MM\0\*|II\x55\0|IIRO|FUJIFILM)/.test(text) || /^crx /.test(brand)) return 'tiff';
  if (text.startsWith('%PDF')) return 'pdf';
  if (/^\s*(<\?xml|<svg)/.test(text)) return 'svg';
  return 'unknown';
}
