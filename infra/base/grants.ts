// Permissions, written out statement by statement: the library's grant helpers add wildcards such as s3:GetObject*.
import * as iam from 'aws-cdk-lib/aws-iam';

export interface GrantedActions {
  /** Actions by their full names. */
  actions: string[];
  /** ARNs of what they are granted on. */
  resources: string[];
  /**
   * Conditions of the statement.
   * @default - none
   */
  conditions?: Record<string, unknown>;
}

/** Adds one statement to the grantee's own policy. */
export function grantActions(grantee: iam.IGrantable, statement: GrantedActions): void {
  grantee.grantPrincipal.addToPrincipalPolicy(new iam.PolicyStatement(statement));
}

/**
 * Condition: lists only below these prefixes. `IfExists`, because S3 asks for the same permission, without a prefix, when
 * a missing object is read. If that were refused, S3 would answer 403, and "not there yet" would look like "not allowed".
 */
export const listBelow = (prefixes: string[]) => ({ StringLikeIfExists: { 's3:prefix': prefixes } });
