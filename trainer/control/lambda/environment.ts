// Reads and checks the environment that infra sets for the state machine's functions.
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { z } from 'zod';
import { type ObjectStore, openStore } from '../../../api/registry/store.ts';
import { ENVARS } from '../../../contracts/src/envars.ts';
import { TextByJobClass } from '../../../contracts/src/job-classes.ts';
import { Digest } from '../../../contracts/src/model/artefact.ts';
import { StageName } from '../../../contracts/src/stages.ts';
import type { Fleet } from '../plan/pipeline-plan.ts';
import { parseJson } from '../run/json.ts';

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

const RegistryKeys = z.object({ access_key_id: z.string().min(1), secret_access_key: z.string().min(1) });

/** Opens the model registry; its keys are read from a secret only where the role itself does not open it (R2). */
export async function openRegistry(env: NodeJS.ProcessEnv): Promise<ObjectStore> {
  const uri = variable(env, ENVARS.registry);
  const endpoint = env[ENVARS.registryEndpoint] || undefined;
  const secret = env[ENVARS.registrySecret] || undefined;
  if (secret === undefined) return openStore(uri, { endpoint });
  const { SecretString } = await new SecretsManagerClient({}).send(new GetSecretValueCommand({ SecretId: secret }));
  const keys = RegistryKeys.safeParse(parseJson(SecretString ?? ''));
  if (!keys.success)
    throw new Error(
      `the secret ${secret} is not {"access_key_id", "secret_access_key"}: put the registry's keys there`,
    );
  const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = keys.data;
  return openStore(uri, { endpoint, credentials: { accessKeyId, secretAccessKey } });
}
