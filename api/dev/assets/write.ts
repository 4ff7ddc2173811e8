// The static files beside the Worker as a folder that the platform takes: the page, and the files of the embedded model by
// digest. For `wrangler deploy` and for the Worker on this machine.
import { constants, readdirSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { OPERATIONS } from '../../../contracts/src/api/operations.ts';
import { PACKED_MODEL, STATIC_PATHS } from '../../../contracts/src/keys.ts';
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../../contracts/src/model/static-files.ts';
import {
  ownArtefacts,
  type PackedModel,
  rowTables,
  textArtefacts,
  withPacked,
} from '../../../contracts/src/model/towers.ts';
import { packIndex } from '../../pack/index-file.ts';
import { type Packed, packModel } from '../../pack/pack.ts';
import { readModelFolder, requireIntact } from './model-folder.ts';

const API = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = join(API, 'playground');
const DESCRIPTION = join(API, '../contracts/schema/openapi.json');
/** In the page's folder for its developers, and of no use to a browser. */
const NOT_SERVED = new Set(['tsconfig.json', 'make.py']);

export interface StaticFolder {
  /** Name and version of the model. */
  model: string;
  files: number;
  bytes: number;
  /** Bytes of its largest file. */
  largest: number;
}

export interface StaticFilesOptions {
  /** Whether the Worker beside them runs the embedded model on onnxruntime-web: then its graphs are there, and nothing is packed. */
  onnx?: boolean;
}

/** Fills a new folder. Throws a UserError where a file of `model`, a folder, is not what its manifest says. */
export async function writeStaticFiles(
  folder: string,
  model: string,
  { onnx = false }: StaticFilesOptions = {},
): Promise<StaticFolder> {
  const manifest = readModelFolder(model);
  const sizes: number[] = [];
  for (const path of pageFiles()) {
    const to = await placeIn(folder, path);
    // An edit of the page shows with the next request.
    await symlink(join(PAGE, path), to);
    sizes.push((await stat(to)).size);
  }
  await requireIntact(model, textArtefacts(manifest));
  const packed = onnx ? undefined : await packFolder(model, manifest);
  const { index, ...towers }: PackedModel = packed?.model ?? {};
  const served = withPacked(manifest, towers);
  const filesOf = staticFilesOf(rowTables(manifest));
  for (const artefact of onnx ? textArtefacts(served) : [...ownArtefacts(served), ...(index ? [index] : [])]) {
    const file = packed?.files.get(artefact.path) ?? join(model, artefact.path);
    for (const { key, from, to } of filesOf(artefact)) {
      const place = await placeIn(folder, key);
      if (typeof file !== 'string') await writeFile(place, file.subarray(from, to));
      else if (to - from === artefact.size) await copyFile(file, place, constants.COPYFILE_FICLONE);
      else await writeFile(place, await readRange(file, { from, to }));
      sizes.push(to - from);
    }
  }
  const documents: [string, Uint8Array][] = [
    description(),
    [STATIC_PATHS.manifest, Buffer.from(JSON.stringify(served))],
    ...(packed ? [[PACKED_MODEL, Buffer.from(JSON.stringify(packed.model))] satisfies [string, Uint8Array]] : []),
  ];
  for (const [path, content] of [...documents, ...(await localFiles())]) {
    await writeFile(await placeIn(folder, path), content);
    sizes.push(content.byteLength);
  }
  return {
    model: `${manifest.name} ${manifest.version}`,
    files: sizes.length,
    bytes: sizes.reduce((sum, size) => sum + size, 0),
    largest: Math.max(...sizes),
  };
}

/** What is made of its files for our own engine and for the tokenizer, and where that is. */
async function packFolder(
  model: string,
  manifest: ModelManifest,
): Promise<{ model: PackedModel; files: Packed['files'] }> {
  const read = async ({ path }: Artefact) => Uint8Array.from(await readFile(join(model, path))).buffer;
  const { towers, files } = await packModel(manifest, read);
  const index = await packIndex(manifest, read);
  if (!index) return { model: towers, files };
  return { model: { ...towers, index: index.file }, files: new Map([...files, [index.file.path, index.bytes]]) };
}

function pageFiles(): string[] {
  return readdirSync(PAGE, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !NOT_SERVED.has(entry.name))
    .map(({ parentPath, name }) => relative(PAGE, join(parentPath, name)));
}

/** What GET /openapi.json answers, without the spaces that make its changes readable. */
function description(): [string, Uint8Array] {
  const document: unknown = JSON.parse(readFileSync(DESCRIPTION, 'utf8'));
  return [OPERATIONS.describe.path, Buffer.from(JSON.stringify(document))];
}

/** The code of what a browser needs to read texts itself. */
async function localFiles(): Promise<[string, Uint8Array][]> {
  const { module, encoders } = STATIC_PATHS;
  const { outputFiles } = await build({
    entryPoints: [join(API, 'browser/embed.ts')],
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    logLevel: 'silent',
  });
  return [
    [module, outputFiles[0]?.contents ?? new Uint8Array()],
    ...Object.values(encoders).map((path): [string, Uint8Array] => [
      path,
      readFileSync(join(API, 'text/wasm', basename(path))),
    ]),
  ];
}

async function placeIn(folder: string, path: string): Promise<string> {
  const place = join(folder, path);
  await mkdir(dirname(place), { recursive: true });
  return place;
}

async function readRange(file: string, { from, to }: { from: number; to: number }): Promise<Uint8Array> {
  const bytes = new Uint8Array(to - from);
  await using source = await open(file);
  await source.read(bytes, 0, bytes.length, from);
  return bytes;
}
