// `npm run assets`: the static files that `wrangler deploy` sends beside the Worker. wrangler runs it itself.
import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { runCommand } from '../../../contracts/command/command-line.ts';
import { EMBEDDED_MODEL } from '../bundle.ts';
import { writeStaticFiles } from './write.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
/** As wrangler.toml has it. */
export const ASSETS = join(ROOT, 'build/assets');

const HELP = `Usage: npm run assets

Makes build/assets, the static files that \`wrangler deploy\` sends beside the Worker: the page of api/playground, and the files
of api/model by their digest. wrangler.toml runs it before every deployment.
  --help     this text
  --version  name and version

Exit codes: 0 made, 1 failed, 2 a file of api/model is not what its manifest says.
`;
const MIB = 1024 * 1024;

async function main(): Promise<undefined> {
  await mkdir(join(ASSETS, '..'), { recursive: true });
  const incoming = mkdtempSync(`${ASSETS}.`);
  try {
    const { model, files, bytes } = await writeStaticFiles(incoming, EMBEDDED_MODEL);
    rmSync(ASSETS, { recursive: true, force: true });
    renameSync(incoming, ASSETS);
    console.log(`${relative(ROOT, ASSETS)}: the page and ${model}, ${files} files, ${(bytes / MIB).toFixed(1)} MiB`);
  } finally {
    rmSync(incoming, { recursive: true, force: true });
  }
}

if (import.meta.main) await runCommand({ help: HELP, options: {} }, main);
