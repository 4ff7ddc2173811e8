// Layout of the object store: one function a key. No other code builds a key.

const DIGEST = /^sha256:([0-9a-f]{64})$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,127}$/;

/** A file of any kind. Immutable: the key says what the bytes are. */
export const artefactKey = (digest: string): string => `artefacts/sha256/${hex(digest)}`;

/** A model manifest. Immutable, like the files it names. */
export const manifestKey = (digest: string): string => `manifests/sha256/${hex(digest)}.json`;

/** The pointer to a model's current manifest: written last, the only key that is ever overwritten. */
export const currentKey = (model: string): string => `models/${name(model)}/current.json`;

/** What is known of one move of a pointer. Immutable; the pointer names the newest, each names the one before it. */
export const releaseKey = (digest: string): string => `releases/sha256/${hex(digest)}.json`;

/** A user's data, named by its digest: files below it by their relative path, `index.json` written last. */
export const dataPrefix = (digest: string): string => `data/sha256/${hex(digest)}`;

/** What the schedule trains: a recipe and the data that it was last submitted with. */
export const requestKey = (recipe: string): string => `recipes/${name(recipe)}.json`;

/** Folder of one training job's output, named by the job and the first 12 digits of its content address. */
export const runPrefix = (recipe: string, job: string, address: string): string =>
  `runs/${name(recipe)}/${name(job)}-${hex(address).slice(0, 12)}`;

/** What a training container is told; written before the job is submitted. */
export const jobKey = (recipe: string, job: string, address: string): string =>
  `${runPrefix(recipe, job, address)}/job.json`;

function hex(digest: string): string {
  const found = DIGEST.exec(digest)?.[1];
  if (found === undefined) throw new TypeError(`not a digest (sha256: and 64 hexadecimal digits): ${digest}`);
  return found;
}

function name(value: string): string {
  if (!NAME.test(value) || value.includes('..')) throw new TypeError(`not a name for a key: ${JSON.stringify(value)}`);
  return value;
}
