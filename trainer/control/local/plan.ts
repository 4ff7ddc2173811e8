// Plans a recipe against the runs of this machine.
import { join } from 'node:path';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { STAGE_NAMES } from '../../../contracts/src/stages.ts';
import { codeDigests, sourceReader } from '../plan/code-digest.ts';
import { createPlan, type Plan } from '../plan/plan.ts';
import { foldersOf, indexOf, type ResolvedRecipe } from '../recipe/locate.ts';
import { finishedRuns } from '../run/folder.ts';

export async function planHere(
  resolved: ResolvedRecipe,
  { root, runs, onRead }: { root: string; runs: string; onRead: (bytes: number) => void },
): Promise<Plan> {
  const { digest, parts } = await indexOf(resolved, runs, onRead);
  const trainer = join(root, 'trainer');
  return createPlan(resolved.recipe, {
    code: codeDigests(STAGE_NAMES, sourceReader(trainer)),
    data: { uri: toFileUri(resolved.data), digest, parts },
    folders: await foldersOf(resolved, { trainer, runs, onRead }),
    runs: toFileUri(runs),
    finished: finishedRuns(runs, resolved.recipe.name),
  });
}
