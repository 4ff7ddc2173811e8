// Reads and checks the command line of `npm run deploy`.
import { readCommandLine } from '../../contracts/command/command-line.ts';
import { EXIT } from '../../contracts/src/exit-codes.ts';
import { STACK_PARAMETERS, type StackParameterName } from '../../contracts/src/outputs.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import type { StackParameters } from './stacks.ts';
import { SECRET_VARIABLES } from './worker/deploy.ts';

const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = SECRET_VARIABLES;

export const DEPLOY_HELP = `Usage: npm run deploy -- --environment NAME [options]
       npm run deploy -- status --environment NAME [options]
       npm run deploy -- destroy --environment NAME --yes [options]

Deploys an environment from this checkout: looks whether the account is ready, deploys the stacks that hold data, builds the
images that are missing, deploys all stacks, then the Worker with the encoder's address, and asks it for its golden vectors.
After a failure or Ctrl-C the same command goes on where it stopped; what is as it should be is left alone.

  status               what is deployed: stacks, the last steps of this checkout, and whether the Worker computes what it should
  destroy              deletes the Worker, what its stacks' buckets hold, and the stacks; refused where the settings keep the data

  --environment NAME   dev or prod: its settings, and the environment of that name in wrangler.toml
  --dry-run            change nothing: the checks (as far as there are credentials), a synthesis, the Worker's size, the steps
  --images HOW         codebuild (default): AWS builds from the uploaded source; buildx: Docker on this machine builds
  --parameter NAME=V   a parameter of the stacks (infra/settings/README.md), once for each; later deployments keep it
  --no-worker          AWS only
  --again              look at every step, also those that this checkout has finished
  --yes                destroy: without a question
  --json               one JSON object a line on standard output instead of text
  --help               this text
  --version            the version of this program

Environment: AWS credentials and region are found as by the AWS command line; CLOUDFLARE_API_TOKEN or
\`npx wrangler login\`, and CLOUDFLARE_ACCOUNT_ID where there are several accounts.
${AWS_ACCESS_KEY_ID} and ${AWS_SECRET_ACCESS_KEY} are the keys of an identity with the policy of output WorkerAccess:
they become secrets of the Worker, which signs its calls to the encoder with them. CLOUDFLARE_ACCOUNT_ID is
the parameter RegistryAccountId where none is given.
Exit codes: 0 done, 1 a step failed, 2 refused before anything was changed, ${EXIT.interrupted} interrupted: run the same command again.
`;

const OPTIONS = {
  environment: { type: 'string' },
  'dry-run': { type: 'boolean', default: false },
  images: { type: 'string', default: 'codebuild' },
  parameter: { type: 'string', multiple: true },
  'no-worker': { type: 'boolean', default: false },
  again: { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
} as const;

const COMMANDS = ['deploy', 'status', 'destroy'] as const;

export interface DeployOptions {
  command: (typeof COMMANDS)[number];
  environment: string;
  dryRun: boolean;
  images: 'codebuild' | 'buildx';
  parameters: StackParameters;
  worker: boolean;
  again: boolean;
  json: boolean;
}

export function parseDeployOptions(argv: readonly string[]): DeployOptions {
  const { values, words } = readCommandLine(argv, { help: DEPLOY_HELP, options: OPTIONS, words: 1 });
  const [word = 'deploy'] = words;
  const command = COMMANDS.find((name) => name === word);
  if (command === undefined) throw new UserError(`${word}: there are status and destroy; without either, it deploys`);
  const { environment, images } = values;
  if (environment === undefined) throw new UserError('--environment says which: dev or prod');
  if (images !== 'codebuild' && images !== 'buildx')
    throw new UserError(`--images ${images}: there are codebuild and buildx`);
  const asked = { 'dry-run': values['dry-run'], again: values.again, parameter: values.parameter !== undefined };
  for (const [name, isAsked] of Object.entries(asked))
    if (isAsked && command !== 'deploy') throw new UserError(`--${name} goes with a deployment, not with ${command}`);
  if (values.yes && command !== 'destroy') throw new UserError('--yes goes with destroy');
  if (command === 'destroy' && !values.yes)
    throw new UserError(`destroy deletes the Worker and the stacks of ${environment}, with what is in them: add --yes`);
  return {
    command,
    environment,
    dryRun: values['dry-run'],
    images,
    parameters: parametersOf(values.parameter ?? []),
    worker: !values['no-worker'],
    again: values.again,
    json: values.json,
  };
}

function parametersOf(given: readonly string[]): StackParameters {
  const names = Object.keys(STACK_PARAMETERS) as StackParameterName[];
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      const name = text.slice(0, Math.max(0, at));
      if (!names.some((known) => known === name))
        throw new UserError(`--parameter ${text}: write NAME=VALUE; there are ${names.join(', ')}`);
      return [name, text.slice(at + 1)];
    }),
  );
}
