// Names of environment variables that two folders share. Only entry files read the environment.
export const ENVARS = {
  /** Folder with training data, instead of the recipe's `data`. */
  data: 'CLIP_DATA',
  /** A Python interpreter that has the trainer's dependencies, instead of trainer/.venv. */
  python: 'TRAINER_PYTHON',
  /** Port of the local server; default 8787. */
  port: 'PORT',
  /** Folder that holds manifest.json and what it names, instead of api/model: for the image encoder's hosts. */
  model: 'CLIP_MODEL',
  /** Where the Worker finds the image encoder, e.g. http://127.0.0.1:9000. */
  encoderUrl: 'ENCODER_URL',
} as const;
