// The command `npm run finetune`: an exported model learns the user's own images; says before and after.
import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { standardAnswer } from '../../../../contracts/command/command-line.ts';
import { shellWord } from '../../../../contracts/command/shell.ts';
import { ENVARS } from '../../../../contracts/src/envars.ts';
import { EXIT } from '../../../../contracts/src/exit-codes.ts';
import { UserError } from '../../../../contracts/src/user-error.ts';
import { installModel } from '../../local/install.ts';
import { ensureVenv } from '../../local/venv.ts';
import { existing, type ResolvedRecipe, resolveRecipe, writeRecipe } from '../../recipe/locate.ts';
import { type CommandContext, dataFolder, processContext, runsFolder } from '../context.ts';
import { evaluate } from '../evaluate.ts';
import { listenForInterrupts, runStoppable } from '../interrupts.ts';
import { pythonOverride } from '../python.ts';
import { trainWritten } from '../train-here.ts';
import { type Inspection, inspect } from './inspect.ts';
import { FINETUNE_HELP, type FinetuneOptions, parseFinetuneOptions } from './options.ts';
import { checkOut } from './out.ts';
import { writeRecipes } from './recipe.ts';
import { type Figure, figureLines, figuresOf, generalFigures } from './results.ts';
import { startingModel } from './start.ts';

/** Dev sets that show within minutes what a model has forgotten. */
const GENERAL_SETS = 'flickr,imagenet-sample';
/** Images of the first of them, with captions: verdicts on searches are fitted on them where own images are too few. */
const GENERAL_IMAGES = 'flickr8k/flickr8k-dev-000.tar';
const GENERAL_FIGURES = /(mean_recall|top1)$/;

/** The whole command; resolves to its exit code. */
export async function finetune(argv: readonly string[], context: CommandContext): Promise<number> {
  const { stdout, stderr } = context;
  const answer = standardAnswer(argv, FINETUNE_HELP);
  if (answer !== undefined) {
    stdout.write(answer);
    return EXIT.ok;
  }
  const json = argv.includes('--json');
  try {
    return await run(parseFinetuneOptions(argv), context);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (json) stdout.write(`${JSON.stringify({ event: 'refused', message: error.message })}\n`);
    else stderr.write(`${error.message}\n`);
    return EXIT.usage;
  }
}

async function run(options: FinetuneOptions, context: CommandContext): Promise<number> {
  const { root, cwd, env } = context;
  const print = printer(options, context);
  const runs = runsFolder(options, context);
  const out = options.out === undefined ? undefined : resolve(cwd, options.out);
  if (out !== undefined) checkOut(out, options.name);
  // Data that are not there are said before a model is fetched.
  existing(resolve(cwd, options.data), options.data);
  const model = await startingModel(options, { runs, context });
  const places = { cwd, model, runs, generalImages: generalImages(options, context) };
  const written = writeRecipes(options, places);
  const resolved = (file: string): ResolvedRecipe =>
    resolveRecipe(file, { folders: [cwd, join(root, 'trainer')], cwd, env });
  const main = resolved(written.recipe);
  const inspection = await inspectData(main, context);
  if (inspection === undefined) return EXIT.interrupted;
  print({ event: 'data', ...inspection }, inspection.summary);
  if (options.dryRun) {
    print({ event: 'dry_run', recipe: written.recipe }, dryRunLines(main, written.recipe));
    return EXIT.ok;
  }
  const trained = await trainWritten(main, { runs, options, context });
  if (typeof trained === 'number') return trained;
  const control =
    written.control === undefined
      ? undefined
      : await trainWritten(resolved(written.control), { runs, options, context });
  if (typeof control === 'number') return control;
  const figures = figuresOf(trained.report.metrics, control?.report.metrics);
  const general = options.general
    ? await measureGeneral(resolve(main.data, adaptOf(main).model), trained.folder, context)
    : undefined;
  const made =
    out === undefined ? trained.folder : installModel(trained.folder, trained.report, { target: out }).folder;
  const shown = relative(cwd, made);
  const typed = shellWord(shown === '' || shown.startsWith('..') ? made : shown);
  // The next command of this name writes another recipe.json: what is printed means this model.
  const recipe = writeRecipe(`${trained.folder}.json`, written.document);
  const file = shellWord(relative(cwd, recipe));
  const asHere = options.runs === undefined ? '' : ` --runs ${shellWord(options.runs)}`;
  const next = {
    serve: `npm start -- --model ${typed}`,
    publish: `npm run model -- publish ${file}${asHere}`,
    // Without its name the server follows what is published as the embedded model.
    follow: `${ENVARS.modelName}=${options.name} npm start`,
    again: `npm run finetune -- … --from ${typed}${asHere}`,
  };
  const seen = trained.report.notes.filter((line) => line.includes('was taught own images before'));
  const verdicts = trained.report.notes.filter((line) => /erdicts on searches|called absent/.test(line));
  print({ event: 'finetuned', model: made, recipe, figures, general: general ?? null, verdicts, ...next }, [
    ...inspection.summary.filter((line) => line.includes('left out')),
    `On ${inspection.dev} images that were not learned from, per cent:`,
    ...figureLines(figures),
    ...seen,
    ...generalLines(general),
    ...verdicts,
    options.space === 'keep'
      ? 'The space is the same: vectors of images that were made before stay valid.'
      : 'The space is a new one: embed your images again with this model.',
    `The model: ${made}`,
    `  serve it          ${next.serve}`,
    `  publish it        ${next.publish}`,
    `  serve it then     ${next.follow}`,
    `  teach it more     ${next.again}`,
    `  the same again    npm run train -- ${file}${asHere}`,
  ]);
  return EXIT.ok;
}

/** Undefined where they are not wanted, or not there. */
function generalImages({ general }: FinetuneOptions, context: CommandContext): string | undefined {
  const file = join(dataFolder({}, context), GENERAL_IMAGES);
  return general && existsSync(file) ? file : undefined;
}

type Print = (document: object, lines: readonly string[]) => void;

/** Prints for people, or as one line of JSON. */
function printer({ json }: FinetuneOptions, { stdout }: CommandContext): Print {
  return function print(document, lines) {
    stdout.write(json ? `${JSON.stringify(document)}\n` : `${lines.join('\n')}\n`);
  };
}

function adaptOf({ recipe }: ResolvedRecipe): NonNullable<ResolvedRecipe['recipe']['adapt']> {
  if (recipe.adapt === undefined) throw new Error('a recipe of fine-tuning has the block adapt');
  return recipe.adapt;
}

async function inspectData(main: ResolvedRecipe, { root, cwd, env }: CommandContext): Promise<Inspection | undefined> {
  const python = pythonOverride({ env, cwd }) ?? (await ensureVenv({ env }));
  const interrupts = listenForInterrupts(env);
  try {
    const { stop } = interrupts.signals;
    return await inspect({ root, python, env, data: main.data, seed: main.recipe.seed, adapt: adaptOf(main), stop });
  } finally {
    interrupts.end();
  }
}

function dryRunLines(main: ResolvedRecipe, file: string): string[] {
  const { model, space, schedule, batch_size, crops } = adaptOf(main);
  const what = space === 'keep' ? 'the text side alone' : 'text side and image tower';
  return [
    `From ${model}: ${what}, ${schedule.steps} steps of ${batch_size} images, each whole and as ${crops} crops`,
    `The recipe: ${file}. Without --dry-run it would be trained now.`,
  ];
}

interface General {
  figures: Figure[];
  /** Why nothing was measured. */
  reason: string | undefined;
}

/** Both models on the general dev sets, where their data are there. */
async function measureGeneral(before: string, after: string, context: CommandContext): Promise<General> {
  const data = dataFolder({}, context);
  if (!existsSync(data)) return { figures: [], reason: `${ENVARS.data} names no folder with the general dev sets` };
  const documents: unknown[] = [];
  for (const folder of [before, after]) {
    const parts: string[] = [];
    const stdout = { write: (text: string): void => void parts.push(text) };
    const code = await evaluate([folder, '--json', '--only', GENERAL_SETS, '--data', data], { ...context, stdout });
    if (code !== EXIT.ok) return { figures: [], reason: 'the general dev sets could not be measured (see above)' };
    documents.push(JSON.parse(parts.join('')));
  }
  return { figures: generalFigures(documents[0], documents[1], GENERAL_FIGURES), reason: undefined };
}

function generalLines(general: General | undefined): string[] {
  if (general === undefined) return [];
  if (general.reason !== undefined) return [`What was lost elsewhere was not measured: ${general.reason}`];
  return ['On the general dev sets, per cent:', ...figureLines(general.figures)];
}

if (import.meta.main) await runStoppable(finetune, processContext(process.env), { tells: 'events' });
