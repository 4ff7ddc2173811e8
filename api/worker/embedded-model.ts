// The embedded model: its manifest is in the Worker's script, its files are static files beside the page, named by digest and
// compared with it when the deployment was made. Each is read once in an isolate, when a part of the model is opened.

import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../contracts/src/model/static-files.ts';
import { rowTables } from '../../contracts/src/model/towers.ts';
import manifest from '../model/manifest.json';
import { sha256 } from '../registry/digest.ts';
import { RegistryError } from '../registry/errors.ts';
import type { ModelSource } from '../registry/read.ts';
import { staticFileReader } from '../registry/stores/static-files.ts';

/** The binding of the static files. */
export interface StaticFiles {
  fetch(request: Request): Promise<Response>;
}

/** The host of an address that only the binding sees. */
const HOST = 'https://static.invalid';

export function embeddedModel(files: StaticFiles | undefined): ModelSource {
  const model: ModelManifest = JSON.parse(manifest);
  const reader = files
    ? staticFileReader((key) => files.fetch(new Request(`${HOST}/${key}`)), staticFilesOf(rowTables(model)))
    : { read: withoutFiles };
  return { manifest: async () => model, ...reader, isDeployed: true };
}

const withoutFiles: ModelSource['read'] = async ({ path }) => {
  throw new RegistryError(`This Worker runs without static files, and ${path} is one: bind them as ASSETS.`);
};

/** The manifest travels as text, so that this is the digest of the very file that a registry may hold. */
export const embeddedDigest = (): Promise<string> => sha256(new Uint8Array(new TextEncoder().encode(manifest)));
