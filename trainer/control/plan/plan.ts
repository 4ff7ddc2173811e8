// Plans a recipe as training jobs in order, each with a content address. Pure: no file, no clock, no environment.
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import { runFolder } from '../../../contracts/src/keys.ts';
import {
  DATA,
  inputsRead,
  localFolderOf,
  preparedParts,
  type StageConfig,
  type StageName,
} from '../../../contracts/src/stages.ts';
import type { TrainingJob, TrainingReport } from '../../../contracts/src/training/job.ts';
import { type Part, settingsOf } from '../../../contracts/src/training/prepared.ts';
import { configOf, type Recipe, stagesOf } from '../../../contracts/src/training/recipe.ts';

/** Everything besides the recipe that decides what has to run. URIs are `file://` or `s3://`, without a final slash. */
export interface PlanSources {
  /** Digest of the source that each stage executes. */
  code: Readonly<Record<StageName, string>>;
  /** The user's files; `parts`: by part of what \`prepare\` makes of them, the digest of those that it is made from. */
  data: { uri: string; digest: string; parts: Readonly<Record<string, string>> };
  /** Digests of the folders of this machine that the recipe names, by their path in it. */
  folders?: ReadonlyMap<string, string>;
  /** Folder under which every run gets its own. */
  runs: string;
  /** Reports of finished runs by the URI of their folder. */
  finished: ReadonlyMap<string, TrainingReport>;
}

export interface PlannedJob {
  job: TrainingJob;
  /** Digest of configuration, seed, code and all that the job reads of its inputs: equal address, equal result. */
  contentAddress: string;
  /** Ids of the jobs whose output this one reads. */
  needs: string[];
  /** The report of an earlier run with the same content address; undefined while the job has to run. */
  report: TrainingReport | undefined;
}

export interface Plan {
  recipe: string;
  runs: string;
  jobs: PlannedJob[];
}

/** Every job of a recipe that was read and checked, inputs before their readers. */
export function createPlan(recipe: Recipe, sources: PlanSources): Plan {
  const jobs: PlannedJob[] = [];
  const main = new Map<StageName, PlannedJob>();
  const readBy = (config: StageConfig) => inputsRead(config, (stage) => recipe[stage] !== undefined);

  const add = ({ id, config, seed, extraInputs = new Map() }: NewJob): PlannedJob => {
    const reads = readBy(config);
    const inputs = new Map([...mainInputs(config.stage, reads, main), ...extraInputs]);
    const data = reads.includes(DATA) ? sources.data : undefined;
    const code = sources.code[config.stage];
    const prepared = reads.includes('prepare') ? preparedParts(config) : undefined;
    const addresses = Object.fromEntries([...inputs].map(([role, input]) => [role, input.contentAddress]));
    if (prepared !== undefined) addresses.prepare = digestOf(partsOf(recipe, prepared, sources));
    const contentAddress = digestOf({
      config,
      seed,
      code,
      inputs: addresses,
      data: data?.digest,
      folder: sources.folders?.get(localFolderOf(config)?.path ?? ''),
    });
    const same = jobs.find((planned) => planned.contentAddress === contentAddress);
    if (same !== undefined) return same;
    const output = runFolder(sources.runs, { recipe: recipe.name, job: id, address: contentAddress });
    const uris = [...inputs].map(([role, input]): [string, string] => [role, input.job.output]);
    if (data !== undefined) uris.push([DATA, data.uri]);
    const planned: PlannedJob = {
      job: {
        id,
        recipe: recipe.name,
        seed,
        code,
        inputs: Object.fromEntries(uris),
        ...(prepared === undefined ? {} : { prepared: [...prepared] }),
        output,
        config,
      },
      contentAddress,
      needs: [...new Set([...inputs.values()].map((input) => input.job.id))],
      report: sources.finished.get(output),
    };
    jobs.push(planned);
    return planned;
  };

  // The comparison's runs of `clip` come after `export`: the model itself is ready first.
  for (const stage of stagesOf(recipe)) {
    const comparison = stage === 'evaluate' ? comparisonRuns(recipe, add) : new Map<string, PlannedJob>();
    main.set(stage, add({ id: stage, config: configOf(recipe, stage), seed: recipe.seed, extraInputs: comparison }));
  }
  return { recipe: recipe.name, runs: sources.runs, jobs };
}

/** All that decides what `prepare` writes into these parts. */
function partsOf({ prepare, seed }: Recipe, parts: readonly Part[], { code, data }: PlanSources): object {
  if (prepare === undefined) throw new Error('a job reads prepare, which the recipe lacks');
  const decided = parts.map((part) => [part, { settings: settingsOf(prepare, part), files: data.parts[part] }]);
  return { code: code.prepare, seed, parts: Object.fromEntries(decided) };
}

/** SHA-256 of a value's canonical JSON: keys sorted, no spaces. */
export function digestOf(value: unknown): string {
  return sha256Of(canonical(value));
}

interface NewJob {
  id: string;
  config: StageConfig;
  seed: number;
  /** Beside those that the stage always has, by role. */
  extraInputs?: ReadonlyMap<string, PlannedJob>;
}
type AddJob = (job: NewJob) => PlannedJob;

/** Both arms of `clip` for every comparison seed; `add` gives the main run back where an arm is the same. */
function comparisonRuns(recipe: Recipe, add: AddJob): Map<string, PlannedJob> {
  const runs = new Map<string, PlannedJob>();
  const { clip, comparison } = recipe;
  if (clip === undefined) return runs;
  for (const seed of comparison?.seeds ?? []) {
    for (const text_tower of ['llm', 'scratch'] as const) {
      const config: StageConfig = { stage: 'clip', ...clip, text_tower };
      runs.set(`clip_${text_tower}_${seed}`, add({ id: `clip-${text_tower}-${seed}`, config, seed }));
    }
  }
  return runs;
}

function mainInputs(
  stage: StageName,
  reads: readonly (StageName | typeof DATA)[],
  main: ReadonlyMap<StageName, PlannedJob>,
): Map<string, PlannedJob> {
  const inputs = new Map<string, PlannedJob>();
  for (const role of reads) {
    if (role === DATA) continue;
    const input = main.get(role);
    if (input === undefined)
      throw new Error(`stage ${stage} reads ${role}, which the recipe lacks or which comes after it`);
    inputs.set(role, input);
  }
  return inputs;
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
