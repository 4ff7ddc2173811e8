// Endings of image files that a person learns from or measures on, without the dot. The trainer says which of them are read.
export const IMAGE_ENDINGS = [
  'jpg',
  'jpeg',
  'jfif',
  'png',
  'webp',
  'gif',
  'avif',
  'bmp',
  'tif',
  'tiff',
  'heic',
  'heif',
] as const;
