// Which files of a folder, a prefix or a tar are images: by their ending, since opening every other one would take long.

const IMAGES = /\.(jpe?g|png|webp|gif|avif)$/i;

/** Hidden files are not: macOS leaves a `._photo.jpg` beside every photo in a tar. */
export function isImageName(path: string): boolean {
  return IMAGES.test(path) && !/(^|\/)\.[^./]/.test(path);
}
