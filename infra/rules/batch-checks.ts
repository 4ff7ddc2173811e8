// Plugin of the synthesis that checks our own rules.
import { readFileSync } from 'node:fs';
import type { IPolicyValidationContext, IPolicyValidationPlugin, PolicyValidationPluginReport } from 'aws-cdk-lib';
import { z } from 'zod';
import { RULES, type Rule } from './batch-rules.ts';

export const Template = z.object({
  Resources: z
    .record(z.string(), z.object({ Type: z.string(), Properties: z.record(z.string(), z.unknown()).default({}) }))
    .default({}),
});
export type Template = z.infer<typeof Template>;

/** Names of the broken rules and of the resources that break them. */
export function brokenRules({ Resources }: Template): { rule: Rule; logicalId: string }[] {
  return Object.entries(Resources).flatMap(([logicalId, { Type, Properties }]) =>
    RULES.filter(({ type, holds }) => type === Type && !holds(Properties)).map((broken) => ({
      rule: broken,
      logicalId,
    })),
  );
}

/** Reads the templates as they are deployed, so that it sees overrides, which the constructs do not show. */
export class BatchChecks implements IPolicyValidationPlugin {
  readonly name = 'EdgeClip';
  readonly ruleIds = RULES.map(({ name }) => name);

  validate({ stackTemplates }: IPolicyValidationContext): PolicyValidationPluginReport {
    const violations = stackTemplates.flatMap(({ templatePath }) =>
      brokenRules(Template.parse(JSON.parse(readFileSync(templatePath, 'utf8')))).map(({ rule, logicalId }) => ({
        ruleName: rule.name,
        description: rule.description,
        severity: 'error',
        violatingResources: [{ resourceLogicalId: logicalId, templatePath, locations: ['Properties'] }],
      })),
    );
    return { success: violations.length === 0, violations };
  }
}
