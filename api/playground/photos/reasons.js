// Why a photo was not read, in the page's words: what is the matter, and what to do.
import { isTemporary, ServiceError } from '../service/requests.js';

/** @type {Record<string, string>} */
const REASONS = {
  empty: 'The file is empty: copy it again from where it came.',
  heic: 'This is a HEIC photo, as iPhones take them, which this browser cannot open. Export it as JPEG, or set the camera to “Most Compatible”.',
  tiff: 'This is a TIFF or a camera’s raw file. Export it as JPEG first.',
  pdf: 'This is a PDF, not a photo. Export its pictures as JPEG or PNG.',
  svg: 'This is a drawing (SVG), not a photo. Export it as PNG.',
  video: 'This is a video. Take a picture from it first.',
  unknown: 'This is not a picture that can be read here: JPEG, PNG, WebP, GIF and AVIF are.',
  broken: 'The file is damaged: it cannot be read as a picture.',
  unreadable: 'The file can no longer be opened: it was moved, renamed or deleted.',
  memory: 'The browser has too little memory left to open it. Close other tabs and try again.',
  stopped: 'Not read yet: you stopped.',
  // Codes of the service.
  gone: 'The server stopped answering.',
  unauthorized: 'The server wants an API key.',
  quota_exceeded: 'The API key’s quota of images is used up.',
  encoder_unavailable: 'The server’s part that reads photos is not running.',
  encoder_timeout: 'The server took too long.',
  encoder_error: 'The server failed at it.',
  internal_error: 'The server failed at it.',
  body_too_large: 'The file is larger than the server takes.',
  image_too_large: 'The file is larger than the server takes.',
  too_many_pixels: 'The picture has more pixels than the server takes.',
  broken_image: 'The file is damaged: it cannot be read as a picture.',
  empty_input: 'The file is empty: copy it again from where it came.',
  not_configured: 'This server reads no photos: nobody has connected its image encoder.',
};
/** Of the page's own: trying again may help. */
const PASSING = new Set(['unreadable', 'memory', 'stopped']);

/** A photo that is not read, by a key of the table above or by the service's code. */
export class Refusal extends Error {
  /** @param {string} code @param {string} [message] where the table has none */
  constructor(code, message) {
    super(REASONS[code] ?? message ?? code);
    this.code = code;
    this.canRetry = PASSING.has(code) || isTemporary(code);
  }
}

/** @param {unknown} error @returns {Refusal} */
export function refusalOf(error) {
  if (error instanceof Refusal) return error;
  if (error instanceof ServiceError) return new Refusal(error.code, error.message);
  return new Refusal('failed', error instanceof Error ? error.message : String(error));
}
