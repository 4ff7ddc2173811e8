// A recipe planned against the runs of this machine.
import { join, resolve } from 'node:path';
import { toFileUri } from '../../../api/registry/stores/file-uri.ts';
import { codeDigests, sourceReader } from '../plan/code-digest.ts';
import { createPlan, type Plan } from '../plan/plan.ts';
import { indexOf, type PlacedRecipe } from '../recipe/locate.ts';
import { finishedRuns } from '../run/folder.ts';

/** Where runs are kept: --runs, or the repository's own folder. */
export function runsFolder(
  { runs }: { runs?: string | undefined },
  { root, cwd }: { root: string; cwd: string },
): string {
  return resolve(cwd, runs ?? join(root, 'runs'));
}

export async function planHere(
  placed: PlacedRecipe,
  { root, runs, onRead }: { root: string; runs: string; onRead: (bytes: number) => void },
): Promise<Plan> {
  const { digest } = await indexOf(placed, runs, onRead);
  return createPlan(placed.recipe, {
    code: codeDigests(sourceReader(join(root, 'trainer'))),
    data: { uri: toFileUri(placed.data), digest },
    runs: toFileUri(runs),
    finished: finishedRuns(runs, placed.recipe.name),
  });
}
