// Reads the folder of a model and holds its files against its manifest, before any of them is served or sent.
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { FILES } from '../../../contracts/src/keys.ts';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { parseDocument } from '../../registry/read.ts';
import { digestOfFile } from '../../registry/stores/hash.ts';

/** Throws a UserError where there is none, and a RegistryError that names the field at fault. */
export function readModelFolder(folder: string): ModelManifest {
  const file = join(folder, FILES.manifest);
  if (!statSync(file, { throwIfNoEntry: false })?.isFile())
    throw new UserError(`${folder} holds no model (${FILES.manifest} is missing): npm run train makes one`);
  return parseDocument(ModelManifest, readFileSync(file, 'utf8'), file);
}

/** Throws a UserError that names a file which is missing, or is not the one of the manifest: nothing would open it. */
export async function requireIntact(folder: string, artefacts: readonly Artefact[]): Promise<void> {
  for (const { path, digest } of artefacts) {
    const file = join(folder, path);
    const found = await digestOfFile(file).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT'
        ? new UserError(`the model's manifest names ${path}, and there is no ${file}`)
        : error;
    });
    if (found !== digest)
      throw new UserError(
        `${file} is not the ${basename(path)} that the model's manifest names: its digest is ${found}`,
      );
  }
}
