// The object store's layout: one function a key, and nothing else builds a key.
const hex = (digest: string) => digest.replace(/^sha256:/, '');

/** The bytes of an artefact, named by what they are. */
export const artefactKey = (digest: string) => `artefacts/sha256/${hex(digest)}`;
/** A published manifest, named by what it says. */
export const manifestKey = (digest: string) => `manifests/sha256/${hex(digest)}.json`;
/** The pointer: a small JSON document with the digest of the manifest that is current. Written last. */
export const pointerKey = (model: string) => `models/${model}/current.json`;
/** The folder of one stage's run; `address` is the content address of its job. */
export const runKey = (recipe: string, stage: string, address: string) => `runs/${recipe}/${stage}-${hex(address).slice(0, 12)}/`;
