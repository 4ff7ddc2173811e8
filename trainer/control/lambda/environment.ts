// Reads and checks the environment that infra sets for the state machine's functions.
import { z } from 'zod';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { openRegistry as openRegistryAt } from '../../../api/registry/stores/open.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { TextByJobClass } from '../../../contracts/src/job-classes.ts';
import { Digest } from '../../../contracts/src/model/artefact.ts';
import { StageName } from '../../../contracts/src/stages.ts';
import type { Fleet } from '../plan/pipeline-plan.ts';

/** What state Plan needs. Throws an error that names the variable at fault. */
export function readPlanEnvironment(env: NodeJS.ProcessEnv): {
  /** URI of the training bucket. */
  training: string;
  fleet: Fleet;
  code: Record<StageName, string>;
} {
  return {
    training: `s3://${variable(env, ENVARS.trainingBucket)}`,
    fleet: {
      queues: TextByJobClass.parse(JSON.parse(variable(env, ENVARS.jobQueues))),
      jobDefinitions: TextByJobClass.parse(JSON.parse(variable(env, ENVARS.jobDefinitions))),
    },
    code: z.record(StageName, Digest).parse(JSON.parse(variable(env, ENVARS.codeDigests))),
  };
}

function variable(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name] ?? '';
  if (value === '') throw new Error(`the environment variable ${name} is not set`);
  return value;
}

/** Opens the model registry; its keys are read from a secret only where the role itself does not open it (R2). */
export function openRegistry(env: NodeJS.ProcessEnv): ObjectStore {
  return openRegistryAt(variable(env, ENVARS.registry), env);
}
