// Places that an input is read from, by its URIs alone, and the files in them that are images or videos: by their ending, since opening
// every one would take long.
import type { BulkInput } from '../../../contracts/src/bulk/job.ts';

const IMAGES = /\.(jpe?g|png|webp|gif|avif)$/i;
/** Without `.ts`, which is TypeScript as often as a transport stream. */
const VIDEOS = /\.(mp4|m4v|mov|3gp|mkv|webm|avi|mpe?g|m2ts|mts|wmv|flv|ogv)$/i;
/** macOS leaves a `._photo.jpg` beside every photo in a tar. */
const HIDDEN = /(^|\/)\.[^./]/;

/** Folders that an input is read from: that of each tar, or the one that its relative paths start from. */
export function placesOf(input: BulkInput): string[] {
  if ('tars' in input) return input.tars.map((tar) => dirname(tar));
  if ('parts' in input) return [...new Set(input.parts.map((part) => dirname(part)))];
  return ['prefix' in input ? input.prefix : dirname(input.jsonl)];
}

/** Whether `place` is `other` or inside it. */
export function isBelow(place: string, other: string): boolean {
  return withSlash(place).startsWith(withSlash(other)) && !place.split('/').includes('..');
}

export function withSlash(place: string): string {
  return place.endsWith('/') ? place : `${place}/`;
}

/** By its ending; hidden files are none. */
export function isImageName(path: string): boolean {
  return IMAGES.test(path) && !HIDDEN.test(path);
}

/** By its ending; hidden files are none. */
export function isVideoName(path: string): boolean {
  return VIDEOS.test(path) && !HIDDEN.test(path);
}

function dirname(uri: string): string {
  return uri.slice(0, uri.lastIndexOf('/'));
}
