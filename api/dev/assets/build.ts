// `npm run assets`: the static files that `wrangler deploy` sends beside the Worker. wrangler runs it itself.
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { runCommand } from '../../../contracts/command/command-line.ts';
import { STATIC_PATHS } from '../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../../contracts/src/model/static-files.ts';
import { rowTables } from '../../../contracts/src/model/towers.ts';
import { provePacked } from '../../pack/prove.ts';
import { staticFileReader } from '../../registry/stores/static-files.ts';
import { EMBEDDED_MODEL } from '../bundle.ts';
import { wantsOnnx } from './engine.ts';
import { writeStaticFiles } from './write.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
/** As wrangler.toml has it. */
export const ASSETS = join(ROOT, 'build/assets');

const HELP = `Usage: npm run assets

Makes build/assets, the static files that \`wrangler deploy\` sends beside the Worker: the page of api/playground, and the files
of api/model by their digest: the weights of its transformers packed for the Worker's own engine, tables of rows by token in
parts, and the index of the vocabulary. wrangler.toml runs it before every deployment; where that sets TEXT_ENGINE = "onnx"
for some environment, graphs and weights are there as onnxruntime-web reads them.
  --help     this text
  --version  name and version

Exit codes: 0 made, 1 failed, 2 a file of api/model is not what its manifest says, or packed weights do not compute its golden vectors.
`;
const MIB = 1024 * 1024;

async function main(): Promise<undefined> {
  await mkdir(join(ASSETS, '..'), { recursive: true });
  const incoming = mkdtempSync(`${ASSETS}.`);
  try {
    const { model, files, bytes } = await writeStaticFiles(incoming, EMBEDDED_MODEL, {
      onnx: await wantsOnnx(join(ROOT, 'wrangler.toml')),
    });
    await prove(incoming);
    rmSync(ASSETS, { recursive: true, force: true });
    renameSync(incoming, ASSETS);
    console.log(`${relative(ROOT, ASSETS)}: the page and ${model}, ${files} files, ${(bytes / MIB).toFixed(1)} MiB`);
  } finally {
    rmSync(incoming, { recursive: true, force: true });
  }
}

/** Whether the files of that folder, as they will be served, compute the model's golden vectors. */
async function prove(folder: string): Promise<void> {
  const manifest = ModelManifest.parse(JSON.parse(await readFile(join(folder, STATIC_PATHS.manifest), 'utf8')));
  const fetchFile = async (key: string) => new Response(await readFile(join(folder, key)));
  await provePacked(manifest, staticFileReader(fetchFile, staticFilesOf(rowTables(manifest))));
}

if (import.meta.main) await runCommand({ help: HELP, options: {} }, main);
