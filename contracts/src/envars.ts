// Environment variables that two folders share; a variable that one file alone reads is named in that file.

export const ENVARS = {
  /** Folder that the data sources of a recipe start from. */
  data: 'CLIP_DATA',
  /** TCP port of `npm start`. */
  port: 'PORT',
  /** Where the Worker finds the image encoder. */
  encoderUrl: 'ENCODER_URL',
  /** Least seconds between two progress lines of a training stage. */
  progressSeconds: 'PROGRESS_SECONDS',
} as const;
