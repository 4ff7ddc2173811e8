// `npm run model -- import`: a published checkpoint becomes a model of the registry, as it is or with text students.
import { statSync } from 'node:fs';
import { basename, extname, join, resolve } from 'node:path';
import { readIncumbent } from '../../../../api/registry/history.ts';
import type { ObjectStore } from '../../../../api/registry/store.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { ModelName } from '../../../../contracts/src/names.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import type { CommandContext } from '../context.ts';
import { runPython } from '../python.ts';
import { NameTaken, publishImported } from './model-in-folder.ts';
import { withScratch } from './scratch.ts';
import { type DistilOptions, trainStudents } from './students.ts';

export interface ImportOptions extends DistilOptions {
  name?: string | undefined;
  'model-version'?: string | undefined;
  licence?: string | undefined;
  replace: boolean;
  distil: boolean;
}

/** Options that mean nothing without students. */
const FOR_STUDENTS = [
  'captions',
  'features',
  'language-model',
  'template',
  'add-bos',
  'max-tokens',
  'recipe',
  'steps',
  'runs',
] as const;

/** Resolves to the exit code. */
export async function importModel(
  source: string,
  options: ImportOptions,
  { registry, context }: { registry: ObjectStore; context: CommandContext },
): Promise<number> {
  const path = resolve(context.cwd, source);
  const called = calledOf(path);
  const name = options.name ?? (isFile(path) ? basename(called, extname(called)) : called).toLowerCase();
  if (!ModelName.safeParse(name).success)
    throw new UserError(
      `${name} is not a name for a model: give one with --name, of small letters, digits and hyphens`,
    );
  const lonely = FOR_STUDENTS.find((option) => options[option] !== undefined && options[option] !== false);
  if (!options.distil && lonely !== undefined) throw new UserError(`--${lonely} goes with import --distil`);
  if (options.distil && !options.replace) await refuseTaken(registry, name, called);
  const students = options.distil ? await trainStudents(path, name, { options, context }) : undefined;
  if (typeof students === 'number') return students;
  return await withScratch('import-', async (scratch) => {
    const to = join(scratch, 'model');
    const photos = join(context.root, 'api', 'playground', 'samples');
    const { architecture, licence } = options;
    const given = Object.entries({
      name,
      to,
      photos,
      'model-version': options['model-version'],
      'source-name': called,
      architecture,
      licence,
      students,
    });
    const flags = given.flatMap(([option, value]) => (value === undefined ? [] : [`--${option}=${value}`]));
    const said: string[] = [];
    const listening = { ...context, stdout: { write: (text: string) => said.push(text) } };
    const asked = ['-m', 'exchange', 'import', path, ...flags, ...(options.json ? ['--json'] : [])];
    const code = await runPython(asked, listening);
    if (code !== EXIT.ok) {
      // A refusal; what it prints when it is done is of a folder that is gone in a moment.
      context.stdout.write(said.join(''));
      return code;
    }
    const reason = `imported from ${called}${options.distil ? ', with text students' : ''}`;
    const { published, manifest } = await publishImported(registry, to, { reason, replace: options.replace });
    const { metrics, version } = manifest;
    const figures = Object.entries(metrics).map(([figure, value]) => `  ${figure} ${value.toFixed(5)}`);
    const lines = [
      `${name} ${version} is current in ${registry.uri}:`,
      ...figures,
      `${ENVARS.modelName}=${name} npm start serves it`,
    ];
    context.stdout.write(options.json ? `${JSON.stringify({ ...published, metrics })}\n` : `${lines.join('\n')}\n`);
    return EXIT.ok;
  });
}

/** What a source is called: in Hugging Face's cache a folder is named by a commit, and the model by one above it. */
const calledOf = (path: string): string => /models--.*?--([^/]+)\/snapshots\/[^/]+$/.exec(path)?.[1] ?? basename(path);

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** Refuses a name before hours of training, where a model that came from elsewhere has it. */
async function refuseTaken(registry: ObjectStore, name: string, source: string): Promise<void> {
  const incumbent = await readIncumbent(registry, name);
  const isSame = incumbent?.manifest.lineage.parents.some((parent) => parent.source === source);
  if (incumbent !== undefined && !isSame) throw new NameTaken(registry, incumbent.manifest);
}
