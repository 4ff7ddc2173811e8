// Checks of every synthesis: cdk-nag's AwsSolutions, rules of our own, and the acknowledged findings.
import { type App, Stack, Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import { AwsSolutionsChecks } from 'cdk-nag';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference.js';
import type { IConstruct } from 'constructs';
import { z } from 'zod';
import { acknowledge } from '../base/acknowledge.ts';
import { BatchChecks } from './batch-checks.ts';
import { wildcardsFor } from './wildcards.ts';

export function addChecks(app: App): void {
  Validations.of(app).addPlugins(new SolutionsChecks(app), new BatchChecks());
}

class SolutionsChecks extends AwsSolutionsChecks {
  override validateScope(scope: IConstruct) {
    // Not earlier: the name of a finding depends on references between stacks, which are resolved last.
    for (const node of scope.node.findAll()) acknowledgeWildcards(node);
    return super.validateScope(scope);
  }
}

const list = <T extends z.ZodType>(item: T) => z.union([z.array(item), item.transform((one) => [one])]);
export const PolicyDocument = z.object({
  Statement: z.array(
    z.object({
      Effect: z.enum(['Allow', 'Deny']),
      Action: list(z.string()),
      Resource: list(z.union([z.string(), z.record(z.string(), z.unknown())])).default([]),
    }),
  ),
});

function acknowledgeWildcards(node: IConstruct): void {
  if (!(node instanceof iam.CfnPolicy || node instanceof iam.CfnManagedPolicy)) return;
  const { Statement } = PolicyDocument.parse(Stack.of(node).resolve(node.policyDocument));
  const reasons = new Map<string, Set<string>>();
  for (const { Action, Resource } of Statement) {
    for (const resource of Resource.map((item) => flattenCfnReference(item)).filter((text) => text.includes('*'))) {
      for (const { reason } of wildcardsFor(Action, resource) ?? [])
        reasons.set(resource, (reasons.get(resource) ?? new Set()).add(reason));
    }
  }
  for (const [resource, why] of reasons)
    acknowledge(node, `AwsSolutions::AwsSolutions-IAM5[Resource::${resource}]`, [...why].join(' '));
}
