// Permissions are written out statement by statement: the library's grant helpers add wildcards such as s3:GetObject*.
import * as iam from 'aws-cdk-lib/aws-iam';

export function allow(
  grantee: iam.IGrantable,
  actions: string[],
  resources: string[],
  conditions?: Record<string, unknown>,
): void {
  grantee.grantPrincipal.addToPrincipalPolicy(new iam.PolicyStatement({ actions, resources, conditions }));
}

/**
 * Listing below these prefixes. `IfExists`, because S3 asks for the same permission, without a prefix, when an object is
 * read that is not there: refused, it answers 403, and "not there yet" could not be told from "not allowed".
 */
export const listBelow = (prefixes: string[]) => ({ StringLikeIfExists: { 's3:prefix': prefixes } });
