// `npm run model -- calibrate`: what a finished model's scores and verdicts mean, fitted again without training.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { type CommandContext, embeddedModel } from '../context.ts';
import { type ColumnValues, columnFlags } from '../datasets/columns.ts';
import { runPython } from '../python.ts';
import { modelFolder } from './model-folder.ts';
import { withScratch } from './scratch.ts';

export interface CalibrateOptions extends ColumnValues {
  images?: string | undefined;
  to?: string | undefined;
  'model-version'?: string | undefined;
  json: boolean;
}

/** Resolves to the exit code of the trainer's command. */
export async function calibrateModel(
  name: string,
  options: CalibrateOptions,
  { registry, context }: { registry: ObjectStore; context: CommandContext },
): Promise<number> {
  const { images, 'model-version': version } = options;
  if (images === undefined)
    throw new UserError(
      'calibrate on which images? --images names a folder, table or tar with captions that the model did not learn from',
    );
  if (version === undefined)
    throw new UserError('--model-version is missing: the model with other scores is another version');
  const path = resolve(context.cwd, images);
  if (!existsSync(path)) throw new UserError(`--images: there is no ${path}`);
  return await withScratch('calibrate-', async (scratch) => {
    const folder = await modelFolder(name, { registry, context, scratch });
    const beside = folder === scratch || folder === embeddedModel(context) ? name : folder;
    const to = resolve(context.cwd, options.to ?? `${beside}-${version}`);
    const flags = [`--images=${path}`, `--model-version=${version}`, `--to=${to}`, ...columnFlags(options)];
    return await runPython(
      ['-m', 'exchange', 'calibrate', folder, ...flags, ...(options.json ? ['--json'] : [])],
      context,
    );
  });
}
