// Finds a model by its name and puts its files, verified, into a folder: an exported one, a published one, or the embedded one.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { openArtefact } from '../../../../api/registry/candidate.ts';
import {
  parseDocument,
  readManifest,
  readPointer,
  readVerified,
  registrySource,
} from '../../../../api/registry/read.ts';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { toFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { FILES, listPrefix, modelOfPointer } from '../../../../contracts/src/keys.ts';
import { artefactsIn } from '../../../../contracts/src/model/artefact.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { type CommandContext, embeddedModel } from '../context.ts';

export interface ModelFolderOptions {
  registry: ObjectStore;
  context: Pick<CommandContext, 'root' | 'cwd'>;
  /** An empty folder for what has to be fetched. */
  scratch: string;
}

/** The folder with the manifest of a model, whose files are those that it names. Throws a UserError that says which names there are. */
export async function modelFolder(name: string, { registry, context, scratch }: ModelFolderOptions): Promise<string> {
  const folder = resolve(context.cwd, name);
  if (existsSync(join(folder, FILES.manifest))) {
    await verifyFolder(folder);
    return folder;
  }
  const isName = !name.includes('/') && !name.includes(sep);
  const found = isName ? await readPointer(registry, name) : undefined;
  if (found !== undefined) {
    await fetchModel(registry, found.pointer.manifest, scratch);
    return scratch;
  }
  const embedded = embeddedModel(context);
  const own = embeddedName(embedded);
  if (own === name) return embedded;
  const names = (await registry.list(listPrefix('models'))).flatMap(({ key }) => modelOfPointer(key) ?? []);
  const known = [...new Set([...names, ...(own === undefined ? [] : [own])])];
  throw new UserError(
    `${name} is neither a folder with a ${FILES.manifest} nor a model in ${registry.uri}: ` +
      `${known.length === 0 ? 'there is none' : `there is ${known.join(', ')}`}`,
  );
}

/**
 * The manifest of a folder that has one. Throws a RegistryError that names a file which is missing or is another one: a folder that was
 * copied in part, or over another model, would be opened, and its vectors would be nobody's.
 */
export async function verifyFolder(folder: string): Promise<ModelManifest> {
  const run = openStore(toFileUri(folder));
  const file = join(folder, FILES.manifest);
  const manifest = parseDocument(ModelManifest, readFileSync(file, 'utf8'), file);
  for (const artefact of artefactsIn(manifest)) await openArtefact({ run, base: '' }, artefact);
  return manifest;
}

async function fetchModel(registry: ObjectStore, digest: string, folder: string): Promise<void> {
  const { manifest, bytes } = await readManifest(registry, digest);
  const source = registrySource(registry, digest);
  for (const artefact of artefactsIn(manifest)) {
    const file = resolve(folder, artefact.path);
    if (!file.startsWith(folder + sep))
      throw new UserError(`the manifest names a file outside of its folder: ${artefact.path}`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, new Uint8Array(await readVerified(source, artefact)));
  }
  writeFileSync(join(folder, FILES.manifest), bytes);
}

function embeddedName(folder: string): string | undefined {
  const file = join(folder, FILES.manifest);
  if (!existsSync(file)) return undefined;
  const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'name' in manifest ? String(manifest.name) : undefined;
}
