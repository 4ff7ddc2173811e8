// Layout of the object store and of a run's folder: one function per key. No other code builds a key.
import { ApiKey } from './api/api-key.ts';
import type { BulkFormat } from './bulk/job.ts';
import { Digest } from './model/artefact.ts';
import { BulkJobId, JobId, ModelName, RecipeName } from './names.ts';

/** Names of files that are looked for by name, in whatever folder they are. */
export const FILES = {
  /** What a job is told. Written before it starts. */
  job: 'job.json',
  /** How a bulk job is cut into shards. Written when their lines are there. */
  plan: 'plan.json',
  /** What the owner of a bulk job could still ask for when it was asked. Written before the job. */
  budget: 'budget.json',
  /** What a bulk job is charged to the quota of its key, and what it gives back. Written before the plan. */
  charge: 'charge.json',
  /** Lines of items or of requests. */
  lines: 'lines.jsonl',
  /** What is known of a file that was sent. Written after its content. */
  file: 'file.json',
  /** What is known of a file that is sent in parts. Written before them. */
  upload: 'upload.json',
  /** Which job of AWS Batch runs a bulk job. */
  submission: 'submission.json',
  /** Who is told of the end of a bulk job that was begun by an older version, and that it was told. */
  webhook: 'webhook.json',
  webhookSent: 'webhook-sent.json',
  /** Why a bulk job goes no further. */
  stop: 'stopped.json',
  /** Written last: its presence means that the stage is finished. */
  report: 'report.json',
  /** A report that did not keep the contract, moved out of the way. */
  refusedReport: 'report.refused.json',
  /** What an attempt printed. */
  log: 'log.txt',
  /** Which attempt is at work in the folder. */
  lease: 'lease.json',
  /** The files of a user's data. Written last. */
  dataIndex: 'index.json',
  /** The shards that `prepare` cut images and texts into. Written last but for the report. */
  shards: 'shards.json',
  /** The parts of a store of features. Written last. */
  features: 'features.json',
  /** What a folder with a model holds. */
  manifest: 'manifest.json',
  /** The manifest that is current under a model's name. */
  pointer: 'current.json',
} as const;

export type FileName = (typeof FILES)[keyof typeof FILES];

/** The first part of every key, by what is stored under it. */
export const PREFIXES = {
  artefacts: 'artefacts',
  manifests: 'manifests',
  models: 'models',
  releases: 'releases',
  data: 'data',
  datasets: 'datasets',
  requests: 'recipes',
  runs: 'runs',
  sources: 'sources',
  uploads: 'uploads',
  jobs: 'jobs',
  jobInputs: 'job-inputs',
} as const;
export type Prefix = keyof typeof PREFIXES;

/** Where a listing of everything under a prefix starts. */
export const listPrefix = (prefix: Prefix): string => `${PREFIXES[prefix]}/`;

/** A pattern that matches every key under a prefix, or every file of one name under it: for permissions. */
export const keyPattern = (prefix: Prefix, file?: FileName): string =>
  file === undefined ? `${PREFIXES[prefix]}/*` : `${PREFIXES[prefix]}/*/${file}`;

// ---- models ----

/** A file of any kind. Immutable: the key says what the bytes are. */
export const artefactKey = (digest: string): string => `${PREFIXES.artefacts}/sha256/${hexOf(digest)}`;

/** What a deployment made of its model's files, beside a Worker whose embedded manifest does not say so: a PackedModel. */
export const PACKED_MODEL = `${PREFIXES.artefacts}/packed.json`;

/** What the page loads with ?local=1, beside the embedded model's files. */
export const STATIC_PATHS = {
  module: '/local/embed.js',
  manifest: `/local/${FILES.manifest}`,
  /** The builds of our own text engine. */
  encoders: { plain: '/local/encoder.wasm', relaxed: '/local/encoder.relaxed.wasm' },
} as const;

/** A model manifest. Immutable, like the files it names. */
export const manifestKey = (digest: string): string => `${PREFIXES.manifests}/sha256/${hexOf(digest)}.json`;

/** The pointer to a model's current manifest: written last, the only key that is ever overwritten. */
export const currentKey = (model: string): string => `${PREFIXES.models}/${name(ModelName, model)}/${FILES.pointer}`;

/** The model whose pointer a key is; undefined where it is another key. */
export const modelOfPointer = (key: string): string | undefined => nameOfPointer('models', key);

/** What is known of one move of a pointer. Immutable; the pointer names the newest, each names the one before it. */
export const releaseKey = (digest: string): string => `${PREFIXES.releases}/sha256/${hexOf(digest)}.json`;

// ---- training ----

/** A user's data, named by its digest: the index in it is written last and names the files. */
export const dataPrefix = (digest: string): string => `${PREFIXES.data}/sha256/${hexOf(digest)}`;

/** Files of data and weights by their own digest, from a folder of an index: a file that several versions hold is stored once. */
export const DATA_FILES = '../../files';

/** Where a listing of all of them starts. */
export const dataFilePrefix = `${PREFIXES.data}/files/`;

/** A file of a user's data. Immutable: the key says what the bytes are. */
export const dataFileKey = (digest: string): string => `${dataFilePrefix}${hexOf(digest)}`;

/** The pointer to the data that is current under a recipe's name: written last, and what starts its training. */
export const datasetKey = (recipe: string): string =>
  `${PREFIXES.datasets}/${name(RecipeName, recipe)}/${FILES.pointer}`;

/** The recipe whose data a key points to; undefined where it is another key. */
export const recipeOfDataset = (key: string): string | undefined => nameOfPointer('datasets', key);

/** What the schedule trains: a recipe and the data that it was last submitted with. */
export const requestKey = (recipe: string): string => `${PREFIXES.requests}/${name(RecipeName, recipe)}.json`;

/** Folder of all runs of a recipe below `runs`, which is a key, a path or a URI. */
export const recipeRuns = (runs: string, recipe: string): string => `${runs}/${name(RecipeName, recipe)}`;

/** Folder of one job's output: a run is named by its job and the first digits of its content address. */
export const runFolder = (runs: string, { recipe, job, address }: RunName): string =>
  `${recipeRuns(runs, recipe)}/${name(JobId, job)}-${shortDigest(address)}`;

/** What tells one run of a recipe from all others. */
export interface RunName {
  recipe: string;
  job: string;
  /** Content address of the job. */
  address: string;
}

/** What a training container is told; written before the job is submitted. */
export const jobKey = (run: RunName): string => fileIn(runFolder(PREFIXES.runs, run), FILES.job);

/** A file of a folder that is a key, a path with slashes or a URI. */
export const fileIn = (folder: string, file: FileName): string => `${folder}/${file}`;

/** Whether a path or key is of a file with that name. */
export const isNamed = (path: string, file: FileName): boolean => path === file || path.endsWith(`/${file}`);

/** The folder of a file with that name; undefined where the key has another. */
export const folderOf = (key: string, file: FileName): string | undefined =>
  key.endsWith(`/${file}`) ? key.slice(0, -file.length - 1) : undefined;

/** Source of an image, named by the digest over its files: a folder, as CodeBuild takes it. */
export const sourcePrefix = (digest: string): string => `${PREFIXES.sources}/sha256/${hexOf(digest)}`;

/** A file of it; `path` is relative to the checkout, with slashes. */
export const sourceFileKey = (digest: string, path: string): string => `${sourcePrefix(digest)}/${path}`;

// ---- uploads ----

/** A file that was sent to be embedded. Immutable: the key says what the bytes are. It goes after some days. */
export const uploadKey = (digest: string): string => `${UPLOADED_FILES}/${hexOf(digest)}`;

/** Folder of all of them. None is listed for anybody: who knows a digest has the file. */
export const UPLOADED_FILES = `${PREFIXES.uploads}/sha256`;

/** Folders that whoever has the bucket fills by other means: for all callers, and for those with the API key of that prefix. */
export const uploadFolders = (key: string | null): string[] =>
  ['shared', ...(key === null ? [] : [name(ApiKey.shape.prefix, key)])].map(
    (folder) => `${PREFIXES.uploads}/${folder}`,
  );

// ---- API keys ----

/** An API key in the namespace that holds nothing else: named by its digest, so that looking one up needs no list. */
export const apiKeyKey = (digest: string): string => `${API_KEYS}${hexOf(digest)}`;
/** Where a listing of all of them starts. */
export const API_KEYS = 'keys/sha256/';

// ---- bulk jobs ----

/** Folder of a bulk job: below it are what the next functions name. */
export const bulkFolder = (id: string): string => `${PREFIXES.jobs}/${jobName(id)}`;

/**
 * Folder of lines that came inside the request for a job, by the digest of what was asked: of two requests that come at once under
 * one idempotency key, one is refused, and must not have put its lines into the place of the other's.
 */
export const bulkInlineFolder = (id: string, asked: string): string => `${bulkFolder(id)}/inline/${hexOf(asked)}`;

/** In the folder of a job: who is told of its end, for the same reason by what was asked. */
export const bulkWebhookFile = (asked: string): string => `webhook-${hexOf(asked)}.json`;

/** Folder of a file that was sent for bulk jobs: its lines, and what is known of it. */
export const jobInputFolder = (id: string): string => `${PREFIXES.jobInputs}/${jobName(id)}`;

/** A part of a file that is sent in parts. */
export const uploadPartKey = (upload: string, part: string): string => `${jobInputFolder(upload)}/${jobName(part)}`;

/** Who may see a job or a file, and since when it is there. */
interface Owned {
  id: string;
  /** The prefix of an API key; null: everybody. */
  owner: string | null;
  created_at: string;
}

/** Jobs, batches or files of an owner by their time, the newest first: where a listing of them starts. */
export const ownedPrefix = (prefix: 'jobs' | 'jobInputs', kind: string, owner: string | null): string =>
  `${PREFIXES[prefix]}/by-owner/${owner === null ? 'everybody' : name(ApiKey.shape.prefix, owner)}/${kind}/`;

/** An empty object for each of them. The time is counted down, so that the newest comes first; ids begin with their kind. */
export const ownedKey = (prefix: 'jobs' | 'jobInputs', { id, owner, created_at }: Owned): string => {
  const [kind = ''] = jobName(id).split('_');
  const left = String(LAST_MS - Date.parse(created_at)).padStart(String(LAST_MS).length, '0');
  return `${ownedPrefix(prefix, kind, owner)}${left}-${id}`;
};
const LAST_MS = 9_999_999_999_999;

/** Whose key it is. */
export const ownedId = (key: string): string => key.slice(key.lastIndexOf('-') + 1);

/** The job of a key in such a folder; undefined where the key is another. */
export const jobOfKey = (key: string): string | undefined => {
  const [first, id] = key.split('/');
  return first === PREFIXES.jobs && BulkJobId.safeParse(id).success ? id : undefined;
};

/** Jobs of a day (`2026-11-27`) of which somebody is to be told: where a listing of them starts. */
export const toTellPrefix = (day: string): string => `${PREFIXES.jobs}/to-tell/${day}/`;

/** An object for each of them, which is empty once nobody has to be told any more. */
export const toTellKey = ({ id, created_at }: Pick<Owned, 'id' | 'created_at'>): string =>
  `${toTellPrefix(created_at.slice(0, 10))}${jobName(id)}`;

/** Files of one shard. */
export function bulkFiles(shard: number) {
  const digits = String(shard).padStart(4, '0');
  return {
    lines: `input/shard-${digits}.jsonl`,
    errors: `errors-${digits}.jsonl`,
    /** Written last. */
    done: `part-${digits}.done.json`,
    part: (format: BulkFormat) => `part-${digits}.${format}`,
    /** Which row of an .npy file is which item. */
    ids: `part-${digits}.ids.jsonl`,
  };
}

/** Where a listing of the marks of finished shards starts, in a job's folder. */
export const BULK_PARTS = 'part-';

/** The shard of such a mark; undefined where the key is another. */
export const shardOfDone = (key: string): number | undefined => {
  const [, digits] = /(?:^|\/)part-(\d{4,})\.done\.json$/.exec(key) ?? [];
  return digits === undefined ? undefined : Number(digits);
};

/** The hexadecimal digits of a digest. */
export function hexOf(digest: string): string {
  if (!Digest.safeParse(digest).success)
    throw new TypeError(`not a digest (sha256: and 64 hexadecimal digits): ${digest}`);
  return digest.slice('sha256:'.length);
}

/** The first 12 digits: enough to tell runs apart, short enough for a name. */
export const shortDigest = (digest: string): string => hexOf(digest).slice(0, 12);

function nameOfPointer(prefix: Prefix, key: string): string | undefined {
  const [first, pointed, file, ...more] = key.split('/');
  return first === PREFIXES[prefix] && file === FILES.pointer && more.length === 0 ? pointed : undefined;
}

function name(pattern: typeof ModelName, value: string): string {
  if (!pattern.safeParse(value).success || value.includes('..'))
    throw new TypeError(`not a name for a key: ${JSON.stringify(value)}`);
  return value;
}

function jobName(id: string): string {
  if (!BulkJobId.safeParse(id).success) throw new TypeError(`not the id of a bulk job: ${JSON.stringify(id)}`);
  return id;
}
