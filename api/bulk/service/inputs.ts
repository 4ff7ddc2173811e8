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

/**
 * A line for each tar. Its items are named by the name of its file, and of tars of one name by as much of the folders above as tells
 * them apart. A tar that is given twice has one name.
 */
export function linesOfTars(uris: string[]): { custom_id: string; tar: string }[] {
  // Sorted by what they end in, those that have most of it in common stand side by side; with a slash at its end, each part counts whole.
  const ends = [...new Set(uris)].map((uri) => ({ uri, end: `${partsOfTar(uri).reverse().join('/')}/` }));
  ends.sort((a, b) => (a.end < b.end ? -1 : 1));
  const alike = ends.map(({ end }, at) => partsAlike(end, ends[at + 1]?.end ?? ''));
  const names = new Map(
    ends.map(({ uri }, at) => [uri, nameOfTar(uri, 1 + Math.max(alike[at - 1] ?? 0, alike[at] ?? 0))]),
  );
  return uris.map((uri) => ({ custom_id: names.get(uri) ?? uri, tar: uri }));
}

/** Without the ending of its file. */
function partsOfTar(uri: string): string[] {
  return uri.replace(/\.tar$/, '').split('/');
}

/** How many parts both begin with, each of which ends in a slash. */
function partsAlike(one: string, other: string): number {
  let parts = 0;
  for (let at = 0; at < one.length && one[at] === other[at]; at++) if (one[at] === '/') parts++;
  return parts;
}

/** The last `depth` parts of its URI; beyond the whole of it, which `a` and `a.tar` have in common, with its ending. */
function nameOfTar(uri: string, depth: number): string {
  const parts = partsOfTar(uri);
  return depth > parts.length ? uri : parts.slice(-depth).join('/');
}

/** The folder or prefix that a file is in, and its name there. That of `file:///a.tar` is `file:///`, and not a URI without a path. */
export function splitUri(uri: string): { place: string; name: string } {
  const at = uri.lastIndexOf('/');
  const isInRoot = uri.slice(0, at).endsWith('://');
  return { place: uri.slice(0, isInRoot ? at + 1 : at), name: uri.slice(at + 1) };
}

const dirname = (uri: string): string => splitUri(uri).place;
