// What a deployment is called: queues, job definitions and buckets by the outputs that `cdk deploy` wrote to a file.

import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { byJobClass, type JobClass } from '../../../contracts/src/job-classes.ts';
import { CLOUD_OUTPUTS, jobDefinitionOutput, queueOutput } from '../../../contracts/src/outputs.ts';
import { UserError } from '../../../contracts/src/user-error.ts';

export interface Cloud {
  trainingBucket: string;
  modelsBucket: string;
  queues: Readonly<Record<JobClass, string>>;
  jobDefinitions: Readonly<Record<JobClass, string>>;
  logGroup: string;
}

/** The form of `cdk deploy --outputs-file`: outputs by stack. */
const OutputsFile = z.record(z.string(), z.record(z.string(), z.string()));

export function readCloud(file: string): Cloud {
  const how = `npx cdk deploy --all --outputs-file ${file}`;
  if (!existsSync(file)) throw new UserError(`there is no ${file}: deploy first, with ${how}`);
  const parsed = OutputsFile.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new UserError(`${file} is no outputs file of cdk: write it anew with ${how}`);
  const outputs = Object.assign({}, ...Object.values(parsed.data)) as Record<string, string>;
  const output = (name: string): string => {
    const value = outputs[name];
    if (value === undefined) throw new UserError(`${file} has no output ${name}: write it anew with ${how}`);
    return value;
  };
  return {
    trainingBucket: output(CLOUD_OUTPUTS.trainingBucket),
    modelsBucket: output(CLOUD_OUTPUTS.modelsBucket),
    queues: byJobClass((_, { queue }) => output(queueOutput(queue))),
    jobDefinitions: byJobClass((jobClass) => output(jobDefinitionOutput(jobClass))),
    logGroup: output(CLOUD_OUTPUTS.trainingLogs),
  };
}
