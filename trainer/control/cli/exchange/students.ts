// `npm run model -- import --distil`: text students learn a published checkpoint's text vectors, before it is imported with them.
import { basename, dirname, join, relative, resolve } from 'node:path';
import { z } from 'zod';
import { wholeNumberOf } from '../../../../contracts/command/numbers.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import type { Schedule } from '../../../../contracts/src/training/blocks.ts';
import type { ImitateConfig } from '../../../../contracts/src/training/stages/imitate.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { existing, type ResolvedRecipe, resolveRecipe, writeRecipe } from '../../recipe/locate.ts';
import { type CommandContext, runsFolder } from '../context.ts';
import { runPython } from '../python.ts';
import { trainWritten } from '../train-here.ts';
import { checkLanguage, type LanguageFeatures, type LanguageOptions, languageFeatures } from './language-features.ts';

export interface DistilOptions extends LanguageOptions {
  recipe?: string | undefined;
  steps?: string | undefined;
  architecture?: string | undefined;
}

/** What students are trained by where no --recipe says otherwise. */
const BASE = join('recipes', 'imitate.json');

/** What Python says of a checkpoint whose text vectors can be learned: how the stage opens it. */
const Looked = z.object({ checkpoint: z.string() });

/** The folder of the finished run, or an exit code. The same command goes on where it was stopped. */
export async function trainStudents(
  source: string,
  name: string,
  { options, context }: { options: DistilOptions; context: CommandContext },
): Promise<string | number> {
  const { root, cwd, env } = context;
  // What is wrong with the command line is said before Python opens the checkpoint.
  const steps = wholeNumberOf('--steps', options.steps, { from: 1 });
  checkLanguage(options);
  documentOf('', { name, options, cwd });
  const computed = await languageFeatures(options, context);
  const resolved = (file: string): ResolvedRecipe =>
    resolveRecipe(file, { folders: [cwd, join(root, 'trainer')], cwd, env });
  const base = resolved(options.recipe === undefined ? BASE : resolve(cwd, options.recipe)).recipe.imitate;
  if (base === undefined) throw new UserError(`${options.recipe} has no block imitate: --recipe names one that has`);
  const looked = await look(resolve(cwd, source), { options, computed, student: base.student, context });
  if (typeof looked === 'number') return looked;
  const code = (await computed?.write()) ?? EXIT.ok;
  if (code !== EXIT.ok) return code;
  const told = { ...options, features: computed?.file ?? options.features };
  const runs = runsFolder(options, context);
  const file = join(runs, `${name.slice(0, 55)}-students`, 'recipe.json');
  const document = documentOf(looked.checkpoint, { name: basename(dirname(file)), options: told, cwd });
  writeRecipe(file, document);
  if (steps !== undefined) writeRecipe(file, withSteps(document, resolved(file), steps));
  const recipe = resolved(file);
  // One document on standard output is what --json promises; the events of a training go beside it.
  const watched = options.json ? { ...context, stdout: context.stderr } : context;
  const trained = await trainWritten(recipe, { runs, options, context: watched });
  return typeof trained === 'number' ? trained : trained.folder;
}

interface Look {
  options: DistilOptions;
  computed?: LanguageFeatures | undefined;
  student: ImitateConfig['student'];
  context: CommandContext;
}

/** Refuses, before hours of training, what could not be imported afterwards. */
async function look(
  source: string,
  { options, computed, student, context }: Look,
): Promise<z.infer<typeof Looked> | number> {
  const said: string[] = [];
  const { architecture, features, json } = options;
  const flags = [
    `--student=${JSON.stringify(student)}`,
    ...(json ? ['--json'] : []),
    ...(architecture === undefined ? [] : [`--architecture=${architecture}`]),
    ...(features === undefined ? [] : [`--features=${existing(resolve(context.cwd, features), features)}`]),
    ...(computed === undefined ? [] : [`--language-model=${computed.languageModel}`]),
  ];
  const stdout = { write: (text: string) => said.push(text) };
  const code = await runPython(['-m', 'exchange', 'look', source, ...flags], { ...context, stdout });
  if (code === EXIT.ok) return Looked.parse(JSON.parse(said.join('')));
  context.stdout.write(said.join('')); // a refusal
  return code;
}

interface Written {
  name: string;
  options: DistilOptions;
  cwd: string;
}

interface StudentsRecipe {
  extends: string;
  name: string;
  description: string;
  data?: string;
  imitate: Partial<ImitateConfig>;
}

/** Only what differs from the base. Paths of the data are relative to the folder that holds them. */
function documentOf(checkpoint: string, { name, options, cwd }: Written): StudentsRecipe {
  const { captions, features } = options;
  if (features !== undefined && captions === undefined)
    throw new UserError('--features needs --captions: a row of them is the vector of a caption, in the same order');
  const base = options.recipe === undefined ? 'imitate' : existing(resolve(cwd, options.recipe), options.recipe);
  const description = `Text students for ${checkpoint}.`;
  if (captions === undefined) return { extends: base, name, description, imitate: { checkpoint } };
  const file = existing(resolve(cwd, captions), captions);
  const root = dirname(file);
  const own = features === undefined ? {} : { features: relative(root, resolve(cwd, features)) };
  return {
    extends: base,
    name,
    description,
    data: root,
    imitate: { checkpoint, captions: [basename(file)], ...own },
  };
}

/** Every tier takes its share: as many steps as the recipe gives it, in proportion to those of the student. */
function withSteps(document: StudentsRecipe, { recipe }: ResolvedRecipe, steps: number): StudentsRecipe {
  if (recipe.imitate === undefined)
    throw new UserError(`${document.extends} has no block imitate: --recipe names one that has`);
  const { student } = recipe.imitate;
  const whole = student.tiers.find(({ tier }) => tier === 'student')?.schedule.steps ?? steps;
  const shorter = (schedule: Schedule): Schedule => {
    const own = Math.max(1, Math.round((schedule.steps * steps) / whole));
    return { ...schedule, steps: own, warmup_steps: Math.min(schedule.warmup_steps, Math.floor(own / 10)) };
  };
  const tiers = student.tiers.map((tier) => ({ ...tier, schedule: shorter(tier.schedule) }));
  const table = { ...student.static, schedule: shorter(student.static.schedule) };
  return { ...document, imitate: { ...document.imitate, student: { ...student, tiers, static: table } } };
}
