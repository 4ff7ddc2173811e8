// Environment variables that two folders share; a variable that one file alone reads is named in that file.

export const ENVARS = {
  /** Folder that the data sources of a recipe start from. */
  data: 'CLIP_DATA',
  /** Python interpreter with the trainer's dependencies, instead of trainer/.venv. */
  python: 'TRAINER_PYTHON',
  /** TCP port of `npm start`. */
  port: 'PORT',
  /** Folder that holds manifest.json and what it names, instead of api/model: for the image encoder's hosts. */
  model: 'CLIP_MODEL',
  /** Where the Worker finds the image encoder. */
  encoderUrl: 'ENCODER_URL',
  /** Least seconds between two progress lines of a training stage. */
  progressSeconds: 'PROGRESS_SECONDS',
} as const;
