// The model that fine-tuning starts from: a folder, or a name in the registry, whose files are fetched once and kept beside the runs.
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { digestOfFile } from '../../../../api/registry/stores/hash.ts';
import { FILES, hexOf } from '../../../../contracts/src/keys.ts';
import { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { type CommandContext, embeddedModel, openRegistryOf } from '../context.ts';
import { modelFolder } from '../exchange/model-folder.ts';

const FETCHED = 'published-models';

/** Its folder. Throws a UserError that says which names there are. */
export async function startingModel(
  { from, registry }: { from: string | undefined; registry: string | undefined },
  { runs, context }: { runs: string; context: CommandContext },
): Promise<string> {
  if (from === undefined) return embeddedModel(context);
  const folder = await folderOf({ from, registry }, { runs, context });
  refuseUntaught(folder);
  return folder;
}

/** Refuses, before anything is read, a model that stage `adapt` cannot teach. */
function refuseUntaught(folder: string): void {
  const {
    name,
    image,
    static: table,
  } = ModelManifest.parse(JSON.parse(readFileSync(join(folder, FILES.manifest), 'utf8')));
  if (table === undefined)
    throw new UserError(
      `${name} was imported with its own text tower, and fine-tuning teaches students: import the checkpoint with --distil`,
    );
  if (image.preprocess.resize_mode === 'patches')
    throw new UserError(
      `${name} sees pictures in their own shape (SigLIP 2's NaFlex), and fine-tuning learns from squares: start from another model`,
    );
}

async function folderOf(
  { from, registry }: { from: string; registry: string | undefined },
  { runs, context }: { runs: string; context: CommandContext },
): Promise<string> {
  const scratch = join(runs, FETCHED, `fetch-${randomUUID()}`);
  try {
    const folder = await modelFolder(from, { registry: openRegistryOf({ registry }, context), context, scratch });
    if (folder !== scratch) return folder;
    // The same model is the same folder, which recipes name: what was trained from it is found again.
    const digest = hexOf(await digestOfFile(join(scratch, FILES.manifest)));
    const kept = join(runs, FETCHED, `${from}-${digest}`);
    if (!existsSync(kept)) renameSync(scratch, kept);
    return kept;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
