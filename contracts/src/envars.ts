// Environment variables that two folders share; a variable that one file alone reads is named in that file.

export const ENVARS = {
  /** Folder that the data sources of a recipe start from. */
  data: 'CLIP_DATA',
  /** Python interpreter with the trainer's dependencies, instead of trainer/.venv. */
  python: 'TRAINER_PYTHON',
  /** What stages multiply in on a processor: `float32` or `bfloat16`; absent: what is fast there. */
  cpuDtype: 'TRAINER_CPU_DTYPE',
  /** TCP port of `npm start`. */
  port: 'PORT',
  /** Folder that holds manifest.json and what it names, instead of api/model: for the image encoder's hosts. */
  model: 'CLIP_MODEL',
  /** Where the Worker finds the image encoder. */
  encoderUrl: 'ENCODER_URL',
  /** Where the Worker finds the service of bulk jobs. */
  jobsUrl: 'JOBS_URL',
  /** Store of bulk jobs, where the Worker has AWS Batch run them: `s3://bucket`, which both write. */
  jobsStore: 'JOBS_STORE',
  /** ARNs of the queue that the Worker submits them to, and of the definition of their shards. */
  jobsQueue: 'JOBS_QUEUE',
  jobsDefinition: 'JOBS_DEFINITION',
  /** The same for machines with a GPU; absent: there are none for bulk jobs. */
  jobsGpuQueue: 'JOBS_GPU_QUEUE',
  jobsGpuDefinition: 'JOBS_GPU_DEFINITION',
  /** ARN of the role in AWS that the Worker takes, and where the Worker answers, which vouches for it. */
  workerRole: 'WORKER_ROLE_ARN',
  workerIssuer: 'WORKER_ISSUER',
  /** Where the Worker finds an image encoder with a GPU, beside the other. */
  encoderGpuUrl: 'ENCODER_GPU_URL',
  /** What runs the graph of the image encoder: `cpu` (absent: that one) or `cuda`. */
  encoderProvider: 'ENCODER_PROVIDER',
  /** Bytes of image files that the encoder's platform takes in a call; absent: no limit of its own. */
  encoderMaxBytes: 'ENCODER_MAX_BYTES',
  /** Store of files that are too large for a call: `s3://bucket`, which the Worker writes and the image encoder reads. */
  uploads: 'UPLOADS',
  /** Seconds for all that one request asks of the encoder. */
  encoderSeconds: 'ENCODER_SECONDS',
  /** Who is answered without an API key: `keys`, `loopback` or `open to everyone`. */
  access: 'ACCESS',
  /** Origins of pages that may read the Worker's answers, separated by spaces or commas; `*`: every page. */
  corsOrigins: 'CORS_ORIGINS',
  /** Seconds for which the Worker uses a key before it reads it again. */
  keySeconds: 'KEY_SECONDS',
  /** Model registry that a host follows: `file://` folder or `s3://bucket`. */
  registry: 'MODEL_REGISTRY',
  /** Name of the model whose pointer is followed; absent: that of the embedded model. */
  modelName: 'MODEL_NAME',
  /** S3 endpoint of the registry where it is not AWS's own, such as R2. */
  registryEndpoint: 'MODEL_REGISTRY_ENDPOINT',
  /** ARN of the secret {"access_key_id", "secret_access_key"} that opens the registry, where the role does not. */
  registrySecret: 'MODEL_REGISTRY_SECRET',
  /** Seconds between two polls of the pointer. */
  registrySeconds: 'MODEL_REGISTRY_SECONDS',
  /** Bucket with the users' data, the runs and the training requests. */
  trainingBucket: 'TRAINING_BUCKET',
  /** JSON object from job class to the ARN of its job queue. */
  jobQueues: 'JOB_QUEUES',
  /** JSON object from job class to the ARN of its job definition. */
  jobDefinitions: 'JOB_DEFINITIONS',
  /** JSON object from stage to the digest of the source that the trainer's image holds. */
  codeDigests: 'CODE_DIGESTS',
  /** JSON: what the switch of spending stops and starts again, a document of contracts/src/training/pipeline.ts. */
  spending: 'SPENDING',
  /** Seconds from SIGTERM to SIGKILL, for the training container; it is told because it cannot ask. */
  stopSeconds: 'STOP_SECONDS',
  /** Folder for the files of a training container's attempt; absent: the system's for temporary files. */
  workDir: 'WORK_DIR',
  /** Least seconds between two progress lines of a training stage. */
  progressSeconds: 'PROGRESS_SECONDS',
  /** JSON object from a path by which a recipe names weights to where they are on this machine; absent: they are there. */
  weights: 'WEIGHTS',
} as const;
