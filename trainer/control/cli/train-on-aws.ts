// The train command with --on aws: what each of its commands opens and calls.
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { openStore } from '../../../api/registry/store.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { openBatch } from '../aws/batch.ts';
import { type CloudDoors, cancelRecipe, cloudLogs, planInCloud, pricedStages, submitRecipe } from '../aws/cloud-run.ts';
import { readCloud } from '../aws/deployment.ts';
import { openLogs } from '../aws/logs.ts';
import { cloudStatus } from '../aws/status.ts';
import { codeDigests, sourceReader } from '../plan/code-digest.ts';
import { PRICE_TABLE } from '../plan/prices.ts';
import { selectedJobs } from '../plan/selection.ts';
import { indexOf, type PlacedRecipe } from '../recipe/locate.ts';
import type { Emit } from '../run/events.ts';
import { pastRuns } from '../run/folder.ts';
import { listenForInterrupts } from './interrupts.ts';
import type { TrainOptions } from './train-options.ts';

/** `root`: the repository. `cwd`: where the user typed the command. Resolves to the exit code. */
export async function trainOnAws(
  placed: PlacedRecipe,
  options: TrainOptions,
  { root, cwd, emit }: { root: string; cwd: string; emit: Emit },
): Promise<number> {
  const cloud = readCloud(resolve(cwd, options.outputs ?? join(root, 'cdk-outputs.json')));
  const store = openStore(`s3://${cloud.trainingBucket}`);
  const doors: CloudDoors = { cloud, store, batch: openBatch(), logs: openLogs(cloud.logGroup), emit };
  const { recipe } = placed;
  switch (options.command) {
    case 'status': {
      const stages = await cloudStatus(recipe.name, doors);
      return stages.some(({ status }) => status === 'failed') ? 1 : 0;
    }
    case 'logs': {
      const interrupts = listenForInterrupts();
      const { stop } = interrupts.signals;
      await cloudLogs(recipe.name, options.stage ?? '', { follow: options.follow, stop, doors });
      interrupts.end();
      return 0;
    }
    case 'cancel': {
      const ended = await cancelRecipe(recipe.name, options.stage, userInfo().username, doors);
      if (ended === 0) throw new UserError('nothing is queued or running: there is nothing to cancel');
      return 0;
    }
    case 'run': {
      const local = join(root, 'runs');
      const code = codeDigests(sourceReader(join(root, 'trainer')));
      const data = await indexOf(placed, local, (bytes) => emit({ event: 'reading_data', bytes }));
      const { plan, past } = await planInCloud(recipe, code, data.digest, store);
      const jobs = selectedJobs(plan, options);
      const stages = pricedStages(jobs, [...past, ...pastRuns(local)]);
      emit({
        event: 'plan',
        recipe: recipe.name,
        runs: plan.runs,
        stages,
        prices: { date: PRICE_TABLE.date, region: PRICE_TABLE.region },
      });
      if (!options.plan) await submitRecipe({ recipe, code, data, folder: placed.data, jobs }, doors);
      return 0;
    }
  }
}
