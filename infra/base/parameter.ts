// A parameter of a stack: said at deployment, so that a synthesis needs neither ids nor images.
import { CfnParameter, type Stack } from 'aws-cdk-lib';
import { STACK_PARAMETERS, type StackParameter, type StackParameterName } from '../../contracts/src/outputs.ts';
import { PROJECT } from './tags.ts';

/** `edge-clip-prod-data` is a stack of `prod`. */
const environmentOf = ({ stackName }: Stack): string => stackName.slice(PROJECT.length + 1, stackName.lastIndexOf('-'));

/** The parameter of its stack: declared where it is asked for first. */
export function stackParameter(stack: Stack, name: StackParameterName): CfnParameter {
  const declared = stack.node.tryFindChild(name);
  if (declared instanceof CfnParameter) return declared;
  const parameter: StackParameter = STACK_PARAMETERS[name];
  return new CfnParameter(stack, name, {
    type: 'String',
    description: parameter.description,
    allowedPattern: parameter.pattern,
    constraintDescription: parameter.constraint,
    default: parameter.default?.replace('ENVIRONMENT', environmentOf(stack)),
  });
}

/**
 * What `repositoryUriForTagOrDigest` and its like take: `sha256:` and the value of the parameter. Nothing is built by a
 * synthesis, and no tag can be moved under a digest.
 */
export function imageDigest(stack: Stack, name: Extract<StackParameterName, `${string}ImageDigest`>): string {
  return `sha256:${stackParameter(stack, name).valueAsString}`;
}
