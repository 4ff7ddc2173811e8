// How files of images that a person learns from or measures on end, without the dot: which of them are read is for the trainer to say.
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
