// A function of the control plane on Lambda: its program referred to by path and bundled by esbuild, with a log and a role of its own.
import { basename, join, resolve } from 'node:path';
import { Duration } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import * as nodejs from 'aws-cdk-lib/aws-lambda-nodejs';
import type { Construct } from 'constructs';
import { grantActions } from './grants.ts';
import { createLogGroup } from './retention.ts';
import type { Settings } from './settings.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Folder of the control plane's programs. */
export const CONTROL = join(ROOT, 'trainer', 'control');

export interface ControlFunctionProps {
  /** Read here: how long the log is kept. */
  settings: Settings;
  /** What the role is for, in its description. */
  purpose: string;
  environment: Record<string, string>;
  /** @default - 512 MiB */
  memorySize?: number;
  /** @default - two minutes */
  timeout?: Duration;
  /** Files of the repository that are put beside the bundle, which cannot hold them. */
  files?: readonly string[];
}

/** `Plan` is `trainer/control/lambda/plan.ts`. */
export function controlFunction(scope: Construct, name: string, props: ControlFunctionProps): nodejs.NodejsFunction {
  const { settings, purpose, environment, memorySize = 512, timeout = Duration.minutes(2), files = [] } = props;
  const logGroup = createLogGroup(scope, `${name}Logs`, settings);
  // A role of our own: the library's comes with a managed policy that writes to every log group.
  const role = new iam.Role(scope, `${name}Role`, {
    assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com'),
    description: purpose,
  });
  grantActions(role, {
    actions: ['logs:CreateLogStream', 'logs:PutLogEvents'],
    resources: [logGroup.logGroupArn],
  });
  return new nodejs.NodejsFunction(scope, name, {
    entry: join(CONTROL, 'lambda', `${name.toLowerCase()}.ts`),
    handler: 'handler',
    runtime: lambda.Runtime.NODEJS_24_X,
    architecture: lambda.Architecture.ARM_64,
    memorySize,
    timeout,
    role,
    logGroup,
    environment,
    projectRoot: ROOT,
    depsLockFilePath: join(ROOT, 'package-lock.json'),
    bundling: {
      format: nodejs.OutputFormat.ESM,
      target: 'node24',
      // The SDK that the tests ran with, not the one that the runtime happens to bring.
      externalModules: [],
      // Parts of the SDK still call `require`, which an ES module does not have.
      banner: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      commandHooks: {
        beforeBundling: () => [],
        beforeInstall: () => [],
        // By node, which bundles as well: a machine that synthesises needs nothing else.
        afterBundling: (from, to) =>
          files.map(
            (file) => `node -e "fs.copyFileSync(...process.argv.slice(1))" "${from}/${file}" "${to}/${basename(file)}"`,
          ),
      },
    },
  });
}
