// `npm run model -- export`: a model in the layout of another library, written by the trainer's `exchange`.
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { fromFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import type { ModelManifest } from '../../../../contracts/src/model/manifest.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { type CommandContext, runsFolder } from '../context.ts';
import { runPython } from '../python.ts';
import { modelFolder } from './model-folder.ts';
import { withScratch } from './scratch.ts';

export const FORMATS = ['hf', 'onnx', 'open_clip', 'safetensors', 'sentence-transformers'] as const;

export interface ExportOptions {
  format?: string | undefined;
  to?: string | undefined;
  tier?: string | undefined;
  runs?: string | undefined;
  json: boolean;
}

/** Resolves to the exit code of the trainer's command. */
export async function exportModel(
  name: string,
  options: ExportOptions,
  { registry, context }: { registry: ObjectStore; context: CommandContext },
): Promise<number> {
  const { format } = options;
  if (!FORMATS.some((known) => known === format))
    throw new UserError(`--format ${format ?? 'is missing'}: there are ${FORMATS.join(', ')}`);
  return await withScratch('export-', async (scratch) => {
    const folder = await modelFolder(name, { registry, context, scratch });
    const to = resolve(context.cwd, options.to ?? `${basename(name)}.${format}`);
    const runs = runsFolder(options, context);
    if (options.runs !== undefined && !existsSync(runs)) throw new UserError(`--runs: there is no ${runs}`);
    const trained = runsOf(join(folder, FILES.manifest), runs);
    if (options.runs !== undefined && trained.distill === undefined)
      throw new UserError(
        `--runs ${options.runs}: no finished run of distill is there that ${name} was exported from. Without --runs weights are those that servers use`,
      );
    const given = Object.entries({ ...trained, format, to, tier: options.tier });
    const flags = given.flatMap(([option, value]) => (value === undefined ? [] : [`--${option}=${value}`]));
    return await runPython(
      ['-m', 'exchange', 'export', folder, ...flags, ...(options.json ? ['--json'] : [])],
      context,
    );
  });
}

/** Of a job, whatever else an older or a newer version writes into it. */
const Read = z.object({ inputs: z.record(z.string(), z.string()) });

/**
 * What tells one export from another; undefined for a file that is no document. The whole document would not: a published model's names
 * packed weights, too.
 */
function whichOf(manifest: string): object | undefined {
  const document = documentIn(manifest) as Partial<ModelManifest> | undefined;
  if (document === undefined) return undefined;
  const { name, version, created_at, space_id } = document;
  return { name, version, created_at, space_id };
}

/** Undefined where it cannot be read: one of many runs, which may be at work or damaged, and need not be the model's. */
function documentIn(file: string): object | undefined {
  try {
    const document: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return typeof document === 'object' && document !== null ? document : undefined;
  } catch {
    return undefined;
  }
}

/** The runs of `distill` and `clip` that a model was exported from, as far as they are still on this machine. */
function runsOf(manifest: string, runs: string): { distill?: string; clip?: string } {
  const own = whichOf(manifest);
  const below = globSync(`{.,*,*/*}/${FILES.manifest}`, { cwd: runs }).map((path) => join(runs, dirname(path)));
  const exported = [dirname(manifest), ...below].find(
    (folder) => existsSync(join(folder, FILES.job)) && isDeepStrictEqual(whichOf(join(folder, FILES.manifest)), own),
  );
  const job = exported === undefined ? undefined : Read.safeParse(documentIn(join(exported, FILES.job))).data;
  if (exported === undefined || job === undefined) return {};
  const folders = (['distill', 'clip'] as const).flatMap((role) => {
    const uri = job.inputs[role] ?? '';
    // Where it was when the model was exported, or beside that model: runs are moved together, and fetched from AWS.
    const places = [fromFileUri(uri), join(dirname(exported), basename(uri))];
    const folder = places.find((place) => place !== undefined && existsSync(join(place, FILES.report)));
    return folder === undefined ? [] : [[role, folder] as const];
  });
  return Object.fromEntries(folders);
}
