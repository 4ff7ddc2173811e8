// Plans a recipe as training jobs in order, each with a content address. Pure: no file, no clock, no environment.
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import type { JobClass } from '../../../contracts/src/job-classes.ts';
import { runFolder } from '../../../contracts/src/keys.ts';
import {
  embeddedParts,
  localFoldersOf,
  preparedParts,
  type StageConfig,
  type StageName,
} from '../../../contracts/src/stages.ts';
import type { TrainingJob, TrainingReport } from '../../../contracts/src/training/job.ts';
import { backboneFolders, type LocalFolder } from '../../../contracts/src/training/local-folders.ts';
import { MEASURED_ON, measuredSettings, type Part, settingsOf } from '../../../contracts/src/training/parts.ts';
import { configOf, inputsIn, jobClassIn, type Recipe, stagesOf } from '../../../contracts/src/training/recipe.ts';
import { DATA } from '../../../contracts/src/training/stages/table.ts';
import { BASE, variantOf } from '../recipe/variants.ts';
import type { ArraySizes } from './array-size.ts';

/** Everything besides the recipe that decides what has to run. URIs are `file://` or `s3://`, without a final slash. */
export interface PlanSources {
  /** Digest of the source that each stage executes. */
  code: Readonly<Record<StageName, string>>;
  data: { uri: string } & DataDigests;
  /** In its place for variants, by name, that name files which the recipe does not. */
  variants?: ReadonlyMap<string, DataDigests>;
  /** The folders of weights that the recipe names, by their path in it. */
  folders?: ReadonlyMap<string, WeightsFolder>;
  /** Folder under which every run gets its own. */
  runs: string;
  /** By stage, the children of its array job. Absent: every stage is one job. */
  arrays?: ArraySizes;
  /** Reports of finished runs by the URI of their folder. */
  finished: ReadonlyMap<string, TrainingReport>;
}

/** The user's files; `parts`: by part of what `prepare` makes of them, the digest of those that it is made from. */
export interface DataDigests {
  digest: string;
  parts: Readonly<Record<string, string>>;
}

/** A folder of weights, or one file, that a recipe names. */
export interface WeightsFolder {
  /** Over all of its files. */
  digest: string;
  /** Name of the file where the path is of one. */
  file: string | null;
  /** Where it is stored for containers; undefined: stages read the path itself. */
  uri?: string;
}

export interface PlannedJob {
  job: TrainingJob;
  /** Digest of configuration, seed, code and all that the job reads of its inputs: equal address, equal result. */
  contentAddress: string;
  /** Where it runs on AWS; no part of the address. */
  jobClass: JobClass;
  /** Children of the array job that does the elements before this job joins them; undefined: this job does everything. */
  arraySize: number | undefined;
  /** Ids of the jobs whose output this one reads. */
  needs: string[];
  /** The report of an earlier run with the same content address; undefined while the job has to run. */
  report: TrainingReport | undefined;
}

export interface Plan {
  recipe: string;
  runs: string;
  jobs: PlannedJob[];
  /** Digest of all that decides what figures are measured on: those of equal ones can be compared. Undefined without `prepare`. */
  measuredOn: string | undefined;
}

/** Every job of a recipe that was read and checked, inputs before their readers. */
export function createPlan(recipe: Recipe, sources: PlanSources): Plan {
  const add = jobAdder(recipe.name, sources);
  const addChain = (chain: Chain): Map<string, PlannedJob> => {
    const made = new Map<string, PlannedJob>();
    const { recipe: varied, data = sources.data } = chain;
    for (const stage of chain.stages) {
      const config = configOf(varied, stage);
      const inputs = inputsOfJob(varied, stage, made);
      made.set(stage, add({ id: chain.idOf(stage), config, seed: chain.seedOf(stage), recipe: varied, data, inputs }));
    }
    return made;
  };
  const stages = stagesOf(recipe);
  addChain({
    recipe,
    stages: stages.filter((stage) => stage !== 'compare'),
    idOf: (stage) => stage,
    seedOf: () => recipe.seed,
  });
  // What is compared comes after everything else: the model itself is ready first.
  if (recipe.compare !== undefined) {
    const inputs = comparedRuns(recipe, { addChain, variants: sources.variants });
    const { seed } = recipe;
    add({ id: 'compare', config: configOf(recipe, 'compare'), seed, recipe, data: sources.data, inputs });
  }
  return { recipe: recipe.name, runs: sources.runs, jobs: add.jobs, measuredOn: measuredOn(recipe, sources) };
}

function measuredOn({ prepare, evaluate, seed }: Recipe, { code, data }: PlanSources): string | undefined {
  if (prepare === undefined) return undefined;
  // Data that were pushed by an earlier version say nothing of this part alone: all of them decide then.
  const files = data.parts[MEASURED_ON] ?? data.digest;
  return digestOf({
    prepare: measuredSettings(prepare),
    dev_sets: evaluate?.dev_sets,
    files,
    code: code.prepare,
    seed,
  });
}

/** Stages of a recipe or of a variant of it, each reading those before it. */
interface Chain {
  recipe: Recipe;
  /** Where it is not that of the plan. */
  data?: DataDigests | undefined;
  stages: readonly StageName[];
  idOf(stage: StageName): string;
  seedOf(stage: StageName): number;
}

interface NewJob {
  id: string;
  config: StageConfig;
  seed: number;
  /** The recipe, or the variant of it, that the configuration is of. */
  recipe: Recipe;
  data: DataDigests;
  /** By role. */
  inputs: ReadonlyMap<string, PlannedJob>;
}

/** Stages that build the image tower anew, apart from those that name it. */
const TOWER_STAGES: readonly StageName[] = ['clip', 'export', 'evaluate'];

/** The content of the folders that a configuration names; undefined where it names none. */
function folderDigests(config: StageConfig, { folders }: PlanSources): string | undefined {
  const digests = localFoldersOf(config).flatMap(({ path }) => folders?.get(path)?.digest ?? []);
  return digests.length === 0 ? undefined : digests.join(' ');
}

/** Folders that earlier stages name and this one opens again, by the same path: the tower's to build it, teachers' to read dev sets. */
function reopenedFolders(recipe: Recipe, config: StageConfig): LocalFolder[] {
  const opensTower = config.stage === 'distill' ? config.image_weight > 0 : TOWER_STAGES.includes(config.stage);
  const opensTeachers = config.stage === 'evaluate' && (config.dev_sets ?? []).length > 0;
  const tower = opensTower && recipe.inherit !== undefined ? backboneFolders(recipe.inherit.backbone) : [];
  const teachers = opensTeachers ? localFoldersOf(configOf(recipe, 'embed_captions')) : [];
  return [...tower, ...teachers];
}

/** Where a container finds the folders that a job opens; undefined where it reads the paths themselves. */
function storedWeights(recipe: Recipe, config: StageConfig, { folders }: PlanSources): TrainingJob['weights'] {
  const stored = [...localFoldersOf(config), ...reopenedFolders(recipe, config)].flatMap(({ path }) => {
    const { uri, file } = folders?.get(path) ?? {};
    return uri === undefined ? [] : [{ path, uri, file: file ?? null }];
  });
  return stored.length === 0 ? undefined : stored;
}

/** Adds jobs to a list; gives the job that is there where one has the same address. */
function jobAdder(name: string, sources: PlanSources): { (job: NewJob): PlannedJob; jobs: PlannedJob[] } {
  const jobs: PlannedJob[] = [];
  const add = ({ id, config, seed, recipe, data, inputs }: NewJob): PlannedJob => {
    const reads = inputsIn(recipe, config.stage);
    const code = sources.code[config.stage];
    const prepared = reads.includes('prepare') ? preparedParts(config) : undefined;
    const embedded = reads.includes('embed_captions') ? embeddedParts(config) : undefined;
    const addresses = Object.fromEntries([...inputs].map(([role, input]) => [role, input.contentAddress]));
    if (prepared !== undefined) addresses.prepare = digestOf(partsOf(recipe, prepared, { ...sources, data }));
    const contentAddress = digestOf({
      config,
      seed,
      code,
      inputs: addresses,
      data: reads.includes(DATA) ? data.digest : undefined,
      folder: folderDigests(config, sources),
    });
    const same = jobs.find((planned) => planned.contentAddress === contentAddress);
    if (same !== undefined) return same;
    const output = runFolder(sources.runs, { recipe: name, job: id, address: contentAddress });
    const uris = [...inputs].map(([role, input]): [string, string] => [role, input.job.output]);
    if (reads.includes(DATA)) uris.push([DATA, sources.data.uri]);
    const weights = storedWeights(recipe, config, sources);
    const planned: PlannedJob = {
      job: {
        id,
        recipe: name,
        seed,
        code,
        inputs: Object.fromEntries(uris),
        ...(prepared === undefined ? {} : { prepared: [...prepared] }),
        ...(embedded === undefined ? {} : { embedded: [...embedded] }),
        ...(weights === undefined ? {} : { weights }),
        output,
        config,
      },
      contentAddress,
      jobClass: jobClassIn(recipe, config.stage),
      arraySize: sources.arrays?.[config.stage],
      needs: [...new Set([...inputs.values()].map((input) => input.job.id))],
      report: sources.finished.get(output),
    };
    jobs.push(planned);
    return planned;
  };
  return Object.assign(add, { jobs });
}

/** All that decides what `prepare` writes into these parts. */
function partsOf(
  { prepare, seed }: Recipe,
  parts: readonly Part[],
  { code, data }: Pick<PlanSources, 'code'> & { data: DataDigests },
): object {
  if (prepare === undefined) throw new Error('a job reads prepare, which the recipe lacks');
  const decided = parts.map((part) => [part, { settings: settingsOf(prepare, part), files: data.parts[part] }]);
  return { code: code.prepare, seed, parts: Object.fromEntries(decided) };
}

/**
 * By role, the runs that `compare` compares: the recipe and each variant with every seed, up to the stage that is
 * measured. Stages that do not build on `seeded_from` keep the seed of the recipe, so that they run once.
 */
function comparedRuns(
  recipe: Recipe,
  { addChain, variants: data }: { addChain(chain: Chain): Map<string, PlannedJob> } & Pick<PlanSources, 'variants'>,
): Map<string, PlannedJob> {
  const runs = new Map<string, PlannedJob>();
  if (recipe.compare === undefined) return runs;
  const { variants, seeds, at } = recipe.compare;
  const seeded_from = recipe.compare.seeded_from as StageName;
  for (const seed of seeds) {
    for (const name of [BASE, ...variants]) {
      const varied = variantOf(recipe, name);
      const made = addChain({
        recipe: varied,
        data: data?.get(name),
        stages: stagesBehind(varied, at),
        idOf: (stage) => `${stage}-${name}-${seed}`,
        seedOf: (stage) => (stagesBehind(varied, stage).includes(seeded_from) ? seed : recipe.seed),
      });
      const measured = made.get(at);
      if (measured === undefined) throw new Error(`${name} does not run ${at}, where it is to be compared`);
      runs.set(`${name}_${seed}`, measured);
    }
  }
  return runs;
}

/** A stage and all that it needs, in order. */
function stagesBehind(recipe: Recipe, last: string): StageName[] {
  const wanted = new Set<string>([last]);
  for (const stage of stagesOf(recipe).toReversed())
    if (wanted.has(stage)) for (const input of inputsIn(recipe, stage)) wanted.add(input);
  return stagesOf(recipe).filter((stage) => wanted.has(stage));
}

function inputsOfJob(recipe: Recipe, stage: StageName, made: ReadonlyMap<string, PlannedJob>): Map<string, PlannedJob> {
  const inputs = new Map<string, PlannedJob>();
  for (const role of inputsIn(recipe, stage)) {
    if (role === DATA) continue;
    const input = made.get(role);
    if (input === undefined)
      throw new Error(`stage ${stage} reads ${role}, which the recipe lacks or which comes after it`);
    inputs.set(role, input);
  }
  return inputs;
}

/** SHA-256 of a value's canonical JSON: keys sorted, no spaces. */
export function digestOf(value: unknown): string {
  return sha256Of(canonical(value));
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
    return `{${members.join(',')}}`;
  }
  return JSON.stringify(value);
}
