// Reads the names of a deployment's queues, job definitions and buckets from the outputs that `npm run deploy` wrote.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import { BASE_CLASSES, bySomeJobClasses, type JobClass } from '../../../contracts/src/job-classes.ts';
import { jsonIn } from '../../../contracts/src/json.ts';
import { shortDigest } from '../../../contracts/src/keys.ts';
import { CLOUD_OUTPUTS, jobDefinitionOutput, queueOutput, REGISTRY_OUTPUTS } from '../../../contracts/src/outputs.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Fleet } from '../plan/pipeline-plan.ts';
import type { PlannedJob } from '../plan/plan.ts';

export interface Deployment extends Fleet {
  trainingBucket: string;
  logGroup: string;
  /** By stage, the first digits of the digest of its source in the image; undefined where the deployment is older than its output. */
  stageCode?: Readonly<Record<string, string>> | undefined;
}

/** The form of `cdk deploy --outputs-file`: outputs by stack. */
const OutputsFile = z.record(z.string(), z.record(z.string(), z.string()));

const StageCode = z.record(z.string(), z.string());

const HOW = 'npm run deploy -- --environment NAME';

/** As cdk itself writes it where it is asked to. */
const DEFAULT_FILE = 'cdk-outputs.json';

/** The file that the user named, else the one in the repository. Throws a UserError where there are several deployments. */
export function outputsFile(given: string | undefined, { root, cwd }: { root: string; cwd: string }): string {
  if (given !== undefined) return resolve(cwd, given);
  const found = globSync('cdk-outputs*.json', { cwd: root }).sort();
  const [only = DEFAULT_FILE, ...more] = found.includes(DEFAULT_FILE) ? [DEFAULT_FILE] : found;
  if (more.length > 0)
    throw new UserError(`there are several deployments, ${found.join(' and ')}: --outputs says which`);
  return join(root, only);
}

interface Outputs {
  /** By name; undefined where the settings of the deployment leave it out. */
  all: Readonly<Record<string, string | undefined>>;
  /** Throws a UserError where there is none. */
  output(name: string): string;
}

function readOutputs(file: string): Outputs {
  if (!existsSync(file)) throw new UserError(`there is no ${file}: deploy first, with ${HOW}`);
  const parsed = OutputsFile.safeParse(jsonIn(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new UserError(`${file} is not an outputs file of cdk: write it again with ${HOW}`);
  const all = Object.assign({}, ...Object.values(parsed.data)) as Record<string, string>;
  const output = (name: string): string => {
    const value = all[name];
    if (value === undefined) throw new UserError(`${file} has no output ${name}: write it again with ${HOW}`);
    return value;
  };
  return { all, output };
}

/** Throws a UserError for a file that is missing or lacks an output. */
export function readDeployment(file: string): Deployment {
  const { all, output } = readOutputs(file);
  // The settings of a deployment decide whether it has the others.
  const deployed = (name: string, jobClass: JobClass): string | undefined =>
    BASE_CLASSES.includes(jobClass) ? output(name) : all[name];
  return {
    trainingBucket: output(CLOUD_OUTPUTS.trainingBucket),
    queues: bySomeJobClasses((jobClass, { queue }) => deployed(queueOutput(queue), jobClass)),
    jobDefinitions: bySomeJobClasses((jobClass) => deployed(jobDefinitionOutput(jobClass), jobClass)),
    logGroup: output(CLOUD_OUTPUTS.trainingLogs),
    stageCode: StageCode.safeParse(jsonIn(all[CLOUD_OUTPUTS.stageCode] ?? '')).data,
  };
}

/** Why the deployed image would refuse jobs that are to run: it holds other source of their stages than they were planned with. */
export function codeProblems(jobs: readonly PlannedJob[], { stageCode }: Pick<Deployment, 'stageCode'>): string[] {
  const missing = jobs.filter(({ report }) => report === undefined);
  if (missing.length === 0) return [];
  if (stageCode === undefined)
    return [`the deployment does not say which source of the stages its image holds: deploy again with ${HOW}`];
  const others = missing.filter(({ job }) => stageCode[job.config.stage] !== shortDigest(job.code));
  if (others.length === 0) return [];
  const stages = [...new Set(others.map(({ job }) => job.config.stage))].join(', ');
  return [
    `the deployment's image holds another source of ${stages} than this checkout, and would refuse the jobs: deploy again with ${HOW}, or check out what was deployed`,
  ];
}

/** Opens the registry that the deployment publishes to: for one in R2, whoever runs this has to be allowed to read its secret. */
export function openDeployedRegistry(file: string): ObjectStore {
  const { all, output } = readOutputs(file);
  return openStore(output(CLOUD_OUTPUTS.registry), {
    endpoint: all[REGISTRY_OUTPUTS.endpoint],
    secret: all[REGISTRY_OUTPUTS.secret],
  });
}
