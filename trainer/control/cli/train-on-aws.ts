// The train command with --on aws: opens the clients and calls what each of its commands does.
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { openStore } from '../../../api/registry/stores/open.ts';
import { PRICE_TABLE } from '../../../contracts/src/cloud/prices.ts';
import { EXIT } from '../../../contracts/src/exit-codes.ts';
import { STAGE_NAMES } from '../../../contracts/src/stages.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { openBatch } from '../aws/batch.ts';
import { cancelJobs } from '../aws/cancel.ts';
import type { AwsClients } from '../aws/clients.ts';
import { codeProblems, outputsFile, readDeployment } from '../aws/deployment.ts';
import { openLogs } from '../aws/logs.ts';
import { printStageLog } from '../aws/stage-log.ts';
import { readStatus } from '../aws/status.ts';
import { planOnAws, submitRecipe } from '../aws/submit.ts';
import { arraySizes } from '../plan/array-size.ts';
import { codeDigests, sourceReader } from '../plan/code-digest.ts';
import { featureWidth, languageForm } from '../plan/forms/language-needs.ts';
import { selectJobs } from '../plan/select-jobs.ts';
import { stageNeeds } from '../plan/stage-needs.ts';
import { pricedStagePlans } from '../plan/stage-plan.ts';
import { bytesOf } from '../recipe/data-index.ts';
import { foldersOf, indexOf, indexVariants, type ResolvedRecipe } from '../recipe/locate.ts';
import { tensorsBelow } from '../recipe/tensors.ts';
import type { Emit } from '../run/events.ts';
import { pastRuns } from '../run/folder.ts';
import type { CommandContext } from './context.ts';
import { listenForInterrupts } from './interrupts.ts';
import type { TrainOptions } from './train-options.ts';

interface AwsContext extends Pick<CommandContext, 'root' | 'cwd' | 'env'> {
  emit: Emit;
}

/** Resolves to the exit code. */
export async function trainOnAws(
  resolved: ResolvedRecipe,
  options: TrainOptions,
  { root, cwd, env, emit }: AwsContext,
): Promise<number> {
  const deployment = readDeployment(outputsFile(options.outputs, { root, cwd }));
  const store = openStore(`s3://${deployment.trainingBucket}`);
  const clients: AwsClients = { deployment, store, batch: openBatch(), logs: openLogs(deployment.logGroup), emit };
  const recipe = resolved.recipe.name;
  switch (options.command) {
    case 'status': {
      const stages = await readStatus(recipe, clients);
      return stages.some(({ status }) => status === 'failed') ? EXIT.failed : EXIT.ok;
    }
    case 'logs': {
      const interrupts = listenForInterrupts(env);
      const { stop } = interrupts.signals;
      await printStageLog({ recipe, stage: options.stage ?? '', follow: options.follow, stop }, clients);
      interrupts.end();
      return EXIT.ok;
    }
    case 'cancel': {
      const ended = await cancelJobs({ recipe, stage: options.stage, user: userInfo().username }, clients);
      if (ended === 0) throw new UserError('nothing is queued or running: there is nothing to cancel');
      return EXIT.ok;
    }
    case 'run':
      await submit(resolved, options, { root, clients });
      return EXIT.ok;
  }
}

/** Plans, shows the plan with its costs and submits, unless --plan asks for the plan alone. */
async function submit(
  resolved: ResolvedRecipe,
  options: TrainOptions,
  { root, clients }: { root: string; clients: AwsClients },
): Promise<void> {
  const { recipe, data: folder } = resolved;
  const { store, emit } = clients;
  const local = join(root, 'runs');
  const code = codeDigests(STAGE_NAMES, sourceReader(join(root, 'trainer')));
  const data = await indexOf(resolved, local, (bytes) => emit({ event: 'reading_data', bytes }));
  const onRead = (bytes: number): void => emit({ event: 'reading_data', bytes });
  const variants = [...(await indexVariants(resolved, local, onRead)).keys()];
  if (variants.length > 0)
    throw new UserError(
      `on AWS variants read the files of their recipe, and ${variants.join(', ')} of compare.variants name others: compare them on this machine`,
    );
  const folders = await foldersOf(resolved, { trainer: join(root, 'trainer'), runs: local, onRead });
  const arrays = arraySizes(recipe, data.tars);
  const { plan, past } = await planOnAws({ recipe, code, data, folders, arrays, store });
  const jobs = selectJobs(plan, options);
  const stages = pricedStagePlans(jobs, [...past, ...pastRuns(local)]);
  const { date, region } = PRICE_TABLE;
  emit({ event: 'plan', recipe: recipe.name, runs: plan.runs, stages, side_by_side: null, prices: { date, region } });
  const tensorsOf = tensorsBelow(join(root, 'trainer'));
  const needs = stageNeeds({
    recipe,
    jobs,
    features: featureWidth(recipe, tensorsOf),
    data: { all: bytesOf([data]), tars: data.tars.bytes, children: arrays.prepare ?? 1 },
    languageForm: (stage, facts) => languageForm(stage, { recipe, tensorsOf, facts }),
  });
  emit({ event: 'needs', upload_bytes: bytesOf([data, ...folders.values()]), needs });
  const problems = [...needs.flatMap((row) => row.problems), ...codeProblems(jobs, clients.deployment)];
  if (problems.length > 0) throw new UserError(problems.join('\n'));
  if (!options.plan) await submitRecipe({ recipe, code, data, folder, folders, arrays, jobs }, clients);
}
