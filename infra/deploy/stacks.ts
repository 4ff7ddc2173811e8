// The stacks of an environment through cdk: deploy them, read what they are and what they put out, destroy them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { STACK_PARAMETERS, type StackParameterName } from '../../contracts/src/outputs.ts';
import { PROJECT } from '../base/tags.ts';
import type { Aws, StackState } from './aws.ts';
import type { RunProgram } from './programs.ts';

/** In the order in which they can be deployed; the data stack holds what the others need to exist. */
const PARTS = ['network', 'data', 'training', 'encoding', 'operations'] as const;
type Part = (typeof PARTS)[number];

export const stackName = (environment: string, part: Part): string => `${PROJECT}-${environment}-${part}`;

export type StackParameters = Partial<Record<StackParameterName, string>>;

export interface CdkOptions {
  environment: string;
  run: RunProgram;
  /** Folder of the synthesis, so that two environments never share one. */
  output: string;
}

const common = ({ environment, output }: CdkOptions): string[] => [
  '-c',
  `environment=${environment}`,
  '--output',
  output,
];

/** Synthesises and changes nothing: what a dry run does. */
export async function synthesise(options: CdkOptions): Promise<void> {
  await options.run('cdk', ['synth', ...common(options), '--quiet', '--all']);
}

/** `only`: this stack alone. cdk does nothing where a stack is as it should be. */
export async function deployStacks(options: CdkOptions, parameters: StackParameters, only?: Part): Promise<void> {
  const { environment, run } = options;
  const given = Object.entries(parameters).flatMap(([name, value]) => {
    const part = STACK_PARAMETERS[name as StackParameterName].stack;
    return only !== undefined && part !== only
      ? []
      : ['--parameters', `${stackName(environment, part)}:${name}=${value}`];
  });
  const stacks = only === undefined ? ['--all'] : [stackName(environment, only), '--exclusively'];
  // The settings were read before; a question in the middle of a script would not be answered.
  await run('cdk', ['deploy', ...stacks, ...common(options), '--require-approval', 'never', ...given]);
}

export async function destroyStacks(options: CdkOptions): Promise<void> {
  await options.run('cdk', ['destroy', '--all', ...common(options), '--force']);
}

/** What there is of the environment's stacks, in order. */
export async function readStacks(environment: string, aws: Aws): Promise<StackState[]> {
  const found = await Promise.all(PARTS.map((part) => aws.stack(stackName(environment, part))));
  return found.filter((stack) => stack !== undefined);
}

export function outputsOf(stacks: readonly StackState[]): Record<string, string> {
  return Object.assign({}, ...stacks.map(({ outputs }) => outputs));
}

/** The file that `npm run train -- --on aws --outputs` reads, as cdk would write it: one environment, every stack. */
export function writeOutputs(root: string, environment: string, stacks: readonly StackState[]): string {
  const file = join(root, outputsFile(environment));
  mkdirSync(dirname(file), { recursive: true });
  const document = Object.fromEntries(stacks.map(({ name, outputs }) => [name, outputs]));
  writeFileSync(file, `${JSON.stringify(document, undefined, 2)}\n`);
  return file;
}

export const outputsFile = (environment: string): string => `cdk-outputs-${environment}.json`;
