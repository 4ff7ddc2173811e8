// One synthesis an environment and test file: the templates as they would be deployed, and the report of the checks.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { App } from 'aws-cdk-lib';
import { flattenCfnReference } from 'cdk-nag/lib/utils/flatten-cfn-reference.js';
import { z } from 'zod';
import type { Settings } from '../../infra/base/settings.ts';
import { settingsOf } from '../../infra/environments.ts';
import { addChecks } from '../../infra/rules/checks.ts';
import { createStacks } from '../../infra/stacks.ts';

export const ROOT = resolve(import.meta.dirname, '..', '..');
export const STACKS = ['network', 'data', 'training', 'encoding', 'operations'] as const;
export type StackName = (typeof STACKS)[number];

export const Template = z.object({
  Parameters: z.record(z.string(), z.record(z.string(), z.unknown())).default({}),
  Resources: z.record(
    z.string(),
    z.object({
      Type: z.string(),
      Properties: z.record(z.string(), z.unknown()).default({}),
      DeletionPolicy: z.string().optional(),
      Condition: z.string().optional(),
    }),
  ),
  Outputs: z.record(z.string(), z.object({ Value: z.unknown() })).default({}),
});
export type Template = z.infer<typeof Template>;

const Report = z.object({
  pluginReports: z.array(
    z.object({
      pluginName: z.string(),
      violations: z.array(z.object({ ruleName: z.string(), severity: z.string() })),
      suppressedViolations: z
        .array(z.object({ acknowledgedId: z.string(), acknowledgedAt: z.string(), reason: z.string() }))
        .default([]),
    }),
  ),
});

export interface Synthesis {
  app: App;
  settings: Settings;
  templates: Record<StackName, Template>;
  report: z.infer<typeof Report>;
}

/** Settings of a deployment that has machines for every job class. */
export const EVERY_MACHINE = {
  several_gpus: { spot_max_vcpus: 48, on_demand_max_vcpus: 192 },
  h100: { on_demand_max_vcpus: 192 },
  nodes: { on_demand_max_vcpus: 384 },
};

/** Settings of an image encoder with a GPU. */
export const GPU_ENCODER = { memory_gib: 24, least_machines: 0, most_machines: 2 } as const;

/** Settings of bulk jobs on machines with a GPU. */
export const GPU_SHARDS = { spot_max_vcpus: 16, on_demand_max_vcpus: 8 } as const;

const done = new Map<string, Synthesis>();

/** The environment as committed, with neither bundles nor checks: those are tested where they are made. */
export function synthesis(environment: 'dev' | 'prod'): Synthesis {
  const found = done.get(environment) ?? synthesise(settingsOf(environment));
  done.set(environment, found);
  return found;
}

export function synthesise(settings: Settings, { checks = false }: { checks?: boolean } = {}): Synthesis {
  const outdir = mkdtempSync(join(tmpdir(), 'edge-clip-infra-'));
  try {
    const { context } = z
      .object({ context: z.record(z.string(), z.unknown()) })
      .parse(JSON.parse(readFileSync(join(ROOT, 'cdk.json'), 'utf8')));
    const app = new App({
      outdir,
      analyticsReporting: false,
      builtinCloudFormationValidation: checks,
      context: { ...context, 'aws:cdk:bundling-stacks': [] },
    });
    createStacks(app, settings);
    if (checks) addChecks(app);
    app.synth();
    const read = (file: string): unknown => JSON.parse(readFileSync(join(outdir, file), 'utf8'));
    const template = (name: StackName) => Template.parse(read(`edge-clip-${settings.name}-${name}.template.json`));
    return {
      app,
      settings,
      templates: {
        network: template('network'),
        data: template('data'),
        training: template('training'),
        encoding: template('encoding'),
        operations: template('operations'),
      },
      report: checks ? Report.parse(read('validation-report.json')) : { pluginReports: [] },
    };
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}

/** Properties of every resource of a type, by logical name. */
export function propertiesOf(template: Template, type: string): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(template.Resources)
      .filter(([, resource]) => resource.Type === type)
      .map(([id, resource]) => [id, resource.Properties]),
  );
}

/** The one resource of a type whose logical name begins so, or is like that. */
export function one(
  template: Template,
  type: string,
  wanted: string | RegExp = '',
): { id: string; properties: Record<string, unknown> } {
  const found = Object.entries(propertiesOf(template, type)).filter(([id]) =>
    typeof wanted === 'string' ? id.startsWith(wanted) : wanted.test(id),
  );
  const [first] = found;
  if (first === undefined || found.length > 1)
    throw new Error(`${found.length} resources of type ${type} like ${wanted}`);
  return { id: first[0], properties: first[1] };
}

/** Parts of a template are JSON of unknown shape: these say what a test expects to find there. */
export const record = (value: unknown): Record<string, unknown> => z.record(z.string(), z.unknown()).parse(value);
export const array = (value: unknown): unknown[] => z.array(z.unknown()).parse(value);

/** A value of a template as readable text: `<LogicalId.Attribute>`, and `<stack:Output>` between stacks. */
export function text(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const [name, argument] = Object.entries(value)[0] ?? [];
  if (name === 'Ref') return `<${argument}>`;
  if (name === 'Fn::GetAtt' && Array.isArray(argument)) return `<${argument.join('.')}>`;
  if (name === 'Fn::GetStackOutput') return `<${argument.StackName}:${argument.OutputName}>`;
  if (name === 'Fn::Base64') return text(argument);
  if (name === 'Fn::Join' && Array.isArray(argument)) return argument[1].map(text).join(argument[0]);
  if (name === 'Fn::Select' && Array.isArray(argument)) return `${text(argument[1])}[${argument[0]}]`;
  if (name === 'Fn::Split' && Array.isArray(argument)) return text(argument[1]);
  return JSON.stringify(value);
}

const list = <T extends z.ZodType>(item: T) => z.union([z.array(item), item.transform((one) => [one])]);
const Statement = z.object({
  Effect: z.enum(['Allow', 'Deny']),
  Action: list(z.string()),
  Resource: list(z.union([z.string(), z.record(z.string(), z.unknown())])).default([]),
  Principal: z.unknown().optional(),
  Condition: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
});
export interface Statement {
  stack: StackName;
  /** Logical name of the resource that holds the policy. */
  holder: string;
  effect: 'Allow' | 'Deny';
  actions: string[];
  resources: string[];
  /** The same as cdk-nag writes them, and with it the list of wildcards. */
  flattened: string[];
  condition: Record<string, Record<string, unknown>> | undefined;
  /** A policy of a resource, not of an identity. */
  hasPrincipal: boolean;
}

/** Every statement of every policy document, wherever a resource holds one; trust policies name no resource. */
export function statements({ templates }: Synthesis): Statement[] {
  return STACKS.flatMap((stack) =>
    Object.entries(templates[stack].Resources).flatMap(([holder, { Properties }]) =>
      documents(Properties).map((statement) => ({
        stack,
        holder,
        effect: statement.Effect,
        actions: statement.Action,
        resources: statement.Resource.map(text),
        flattened: statement.Resource.map((resource) => flattenCfnReference(resource)),
        condition: statement.Condition,
        hasPrincipal: statement.Principal !== undefined,
      })),
    ),
  );
}

function documents(value: unknown): z.infer<typeof Statement>[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('Statement' in value) return z.array(Statement).parse(value.Statement);
  return Object.values(value).flatMap(documents);
}
