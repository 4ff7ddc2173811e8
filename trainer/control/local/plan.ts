// Plans a recipe against the runs of this machine.
import { join } from 'node:path';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { STAGE_NAMES } from '../../../contracts/src/stages.ts';
import { codeDigests, sourceReader } from '../plan/code-digest.ts';
import { createPlan, type Plan } from '../plan/plan.ts';
import type { DataIndex } from '../recipe/data-index.ts';
import { foldersOf, indexOf, indexVariants, type ResolvedRecipe } from '../recipe/locate.ts';
import { finishedRuns } from '../run/folder.ts';

export interface HereOptions {
  root: string;
  runs: string;
  onRead(bytes: number): void;
  /** Of the recipe's data, where the caller has it already. */
  data?: DataIndex | undefined;
}

export async function planHere(resolved: ResolvedRecipe, { root, runs, onRead, data }: HereOptions): Promise<Plan> {
  const { digest, parts } = data ?? (await indexOf(resolved, runs, onRead));
  const trainer = join(root, 'trainer');
  return createPlan(resolved.recipe, {
    code: codeDigests(STAGE_NAMES, sourceReader(trainer)),
    data: { uri: toFileUri(resolved.data), digest, parts },
    variants: await indexVariants(resolved, runs, onRead),
    folders: await foldersOf(resolved, { trainer, runs, onRead }),
    runs: toFileUri(runs),
    finished: finishedRuns(runs, resolved.recipe.name),
  });
}
