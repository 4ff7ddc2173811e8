// Where an input lies, by its URIs alone, and which of its files are images: by their ending, since opening every other one would take long.
import type { BulkInput } from '../../../contracts/src/bulk/job.ts';

const IMAGES = /\.(jpe?g|png|webp|gif|avif)$/i;

/** Folders that an input is read from: that of each tar, or the one that its relative paths start from. */
export function placesOf(input: BulkInput): string[] {
  if ('tars' in input) return input.tars.map((tar) => dirname(tar));
  if ('parts' in input) return [...new Set(input.parts.map((part) => dirname(part)))];
  return ['prefix' in input ? input.prefix : dirname(input.jsonl)];
}

/** Whether a place is another one, or lies in it. */
export function isBelow(place: string, other: string): boolean {
  return withSlash(place).startsWith(withSlash(other)) && !place.split('/').includes('..');
}

export function withSlash(place: string): string {
  return place.endsWith('/') ? place : `${place}/`;
}

/** Hidden files are not: macOS leaves a `._photo.jpg` beside every photo in a tar. */
export function isImageName(path: string): boolean {
  return IMAGES.test(path) && !/(^|\/)\.[^./]/.test(path);
}

function dirname(uri: string): string {
  return uri.slice(0, uri.lastIndexOf('/'));
}
