// Answers questions about the table of stages: their names, what one reads, how much it has to do, where it runs.
import * as z from 'zod';
import type { JobClass } from './job-classes.ts';
import type { LocalFolder } from './training/local-folders.ts';
import type { EmbeddedPart, Part } from './training/parts.ts';
import { DATA, STAGES, type StageRow } from './training/stages/table.ts';

type Rows = typeof STAGES;
export type StageName = keyof Rows;

/** In the order in which they run: every stage comes after its inputs. */
export const STAGE_NAMES = Object.keys(STAGES) as [StageName, ...StageName[]];
export const StageName = z.enum(STAGE_NAMES).meta({ title: 'StageName', description: 'A stage of training.' });

/** The configuration of one job: the recipe's block and the name of its stage. */
export const StageConfig = z.discriminatedUnion('stage', configs()).meta({
  title: 'StageConfig',
  description: 'The configuration of one job: a block of the recipe and the name of its stage.',
});
export type StageConfig = z.infer<Rows[StageName]['config']>;

/** The rows as what they have in common. */
const ROWS: Readonly<Record<StageName, StageRow>> = STAGES;

/** Stages that several processes may train together. */
export const RANKED_STAGES: readonly StageName[] = STAGE_NAMES.filter((stage) => ROWS[stage].ranks);

/** Whether the processes of a stage may be on several machines. */
export const spansMachines = (stage: StageName): boolean => ROWS[stage].ranks === true;

/** What the stage may read, in the order of the table. */
export const inputsOf = (stage: StageName): readonly (StageName | typeof DATA)[] => STAGES[stage].inputs;

/** What a job with this configuration reads, in the order of the table; `recipeHas`: whether the recipe has a block. */
export function inputsRead(
  config: StageConfig,
  recipeHas: (stage: StageName) => boolean,
): readonly (StageName | typeof DATA)[] {
  const conditions = ROWS[config.stage].reads?.(config, (input) => input === DATA || recipeHas(input as StageName));
  return inputsOf(config.stage).filter((input) => conditions?.[input] ?? true);
}

/** The job class of a stage, where the recipe names no other. */
export const jobClassOf = (stage: StageName): JobClass => STAGES[stage].jobClass;

/** How much there is to do, in the stage's own unit; 1 where its configuration does not say. */
export const workOf = (config: StageConfig): number => ROWS[config.stage].work?.amount(config) ?? 1;

/** Runs of one kind take a time that grows with their work. */
export function kindOf(config: StageConfig): string {
  const variant = ROWS[config.stage].variant?.(config);
  return variant === undefined ? config.stage : `${config.stage} ${variant}`;
}

/** The parts of what `prepare` wrote that a job with this configuration reads; undefined: all. */
export const preparedParts = (config: StageConfig): readonly Part[] | undefined =>
  ROWS[config.stage].prepared?.(config);

/** The parts of what `embed_captions` wrote that a job with this configuration reads; undefined: all. */
export const embeddedParts = (config: StageConfig): readonly EmbeddedPart[] | undefined =>
  ROWS[config.stage].embedded?.(config);

/** The folders of this machine that a configuration names. */
export const localFoldersOf = (config: StageConfig): LocalFolder[] => ROWS[config.stage].localFolders?.(config) ?? [];

/** One value per stage. */
export function byStage<T>(of: (stage: StageName) => T): Record<StageName, T> {
  return Object.fromEntries(STAGE_NAMES.map((stage) => [stage, of(stage)])) as Record<StageName, T>;
}

function configs() {
  return Object.values(STAGES).map(({ config }) => config) as [
    Rows['prepare']['config'],
    ...Rows[StageName]['config'][],
  ];
}
