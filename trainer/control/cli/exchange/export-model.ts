// `npm run model -- export`: a model in the layout of another library, written by the trainer's `exchange`.
import { existsSync, globSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { fromFileUri } from '../../../../api/registry/stores/file-uri.ts';
import { FILES } from '../../../../contracts/src/keys.ts';
import { TrainingJob } from '../../../../contracts/src/training/job.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { type CommandContext, runsFolder } from '../context.ts';
import { runPython } from '../python.ts';
import { modelFolder } from './model-folder.ts';

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
  // Python runs in another folder: paths are whole.
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'export-')));
  try {
    const folder = await modelFolder(name, { registry, context, scratch });
    const to = resolve(context.cwd, options.to ?? `${name.split('/').at(-1)}.${format}`);
    const trained = runsOf(join(folder, FILES.manifest), runsFolder(options, context));
    const given = Object.entries({ ...trained, format, to, tier: options.tier ?? '' });
    const flags = given.map(([option, value]) => `--${option}=${value}`);
    return await runPython(
      ['-m', 'exchange', 'export', folder, ...flags, ...(options.json ? ['--json'] : [])],
      context,
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The runs of `distill` and `clip` that a model was exported from, as far as they are still on this machine. */
function runsOf(manifest: string, runs: string): { distill?: string; clip?: string } {
  const bytes = readFileSync(manifest);
  const beside = [
    dirname(manifest),
    ...globSync(`*/*/${FILES.manifest}`, { cwd: runs }).map((path) => join(runs, dirname(path))),
  ];
  const exported = beside.find(
    (folder) => existsSync(join(folder, FILES.job)) && readFileSync(join(folder, FILES.manifest)).equals(bytes),
  );
  if (exported === undefined) return {};
  const job = TrainingJob.safeParse(JSON.parse(readFileSync(join(exported, FILES.job), 'utf8')));
  if (!job.success) return {};
  const folders = (['distill', 'clip'] as const).flatMap((role) => {
    const folder = fromFileUri(job.data.inputs[role] ?? '');
    return folder !== undefined && existsSync(join(folder, FILES.report)) ? [[role, folder] as const] : [];
  });
  return Object.fromEntries(folders);
}
