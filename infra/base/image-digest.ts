// A container image named by its digest at deployment: nothing is built by a synthesis, and no tag can be moved under it.
import { CfnParameter, type Stack } from 'aws-cdk-lib';

/** What `repositoryUriForTagOrDigest` and its like take: `sha256:` and the value of the stack's parameter. */
export function imageDigest(stack: Stack, parameter: 'TrainerImageDigest' | 'EncoderImageDigest'): string {
  const { valueAsString } = new CfnParameter(stack, parameter, {
    type: 'String',
    allowedPattern: '^[0-9a-f]{64}$',
    constraintDescription: 'The 64 hexadecimal digits of the digest of a pushed image, without "sha256:"',
    description: 'Digest of the image to run, without "sha256:"',
  });
  return `sha256:${valueAsString}`;
}
