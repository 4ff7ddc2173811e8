// From one setting to another: no update of a stack takes away what another one, as it was deployed before, still reads.
import { describe, expect, it } from 'vitest';
import type { Settings } from '../../infra/base/settings.ts';
import { settingsOf } from '../../infra/environments.ts';
import { STACKS, type Synthesis, synthesise } from '../support/synthesis.ts';

const CHOICES = (['dev', 'prod'] as const).flatMap((environment) =>
  (['r2', 's3'] as const).flatMap((registry) =>
    (['nat', 'public'] as const).map((network) => ({ environment, registry, network })),
  ),
);
type Choice = (typeof CHOICES)[number];
const nameOf = ({ environment, registry, network }: Choice) => `${environment}, ${registry}, ${network}`;

/** Values of a key, wherever in a template it is. */
function valuesOf(value: unknown, key: string): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => (name === key ? [inner] : valuesOf(inner, key)));
}

const deployed = new Map<string, Synthesis>(
  CHOICES.map((choice) => {
    const settings: Settings = {
      ...settingsOf(choice.environment),
      registry: choice.registry,
      network: choice.network,
    };
    return [nameOf(choice), synthesise(settings)];
  }),
);
const templatesOf = (choice: Choice) => {
  const found = deployed.get(nameOf(choice));
  if (found === undefined) throw new Error(`not synthesised: ${nameOf(choice)}`);
  return found.templates;
};

describe('a change of the settings', () => {
  it.each(CHOICES)(
    'from $environment, $registry, $network to any other removes no export that is imported',
    (before) => {
      const imported = STACKS.flatMap((stack) => valuesOf(templatesOf(before)[stack], 'Fn::ImportValue'));
      const after = CHOICES.filter(({ environment }) => environment === before.environment);
      for (const choice of after) {
        const exported = STACKS.flatMap((stack) => valuesOf(templatesOf(choice)[stack].Outputs, 'Export'));
        const removed = imported.filter((name) => !JSON.stringify(exported).includes(JSON.stringify(name)));
        expect(removed, nameOf(choice)).toEqual([]);
      }
    },
  );

  it.each(CHOICES)('in $environment, $registry, $network every output that a stack reads is there', (choice) => {
    const templates = templatesOf(choice);
    const read = STACKS.flatMap((stack) => valuesOf(templates[stack], 'Fn::GetStackOutput'));
    expect(read.length).toBeGreaterThan(20);
    const outputs = Object.fromEntries(
      STACKS.map((stack) => [`edge-clip-${choice.environment}-${stack}`, templates[stack].Outputs]),
    );
    for (const reference of read) {
      const { StackName, OutputName } = reference as { StackName: string; OutputName: string };
      expect(outputs[StackName], StackName).toHaveProperty(OutputName);
    }
  });

  it('keeps the logical names of what holds data, whichever registry and network', () => {
    for (const choice of CHOICES) {
      const kept = CHOICES.filter(
        ({ environment, registry }) => environment === choice.environment && registry === choice.registry,
      ).map((other) => Object.keys(templatesOf(other).data.Resources).toSorted());
      for (const names of kept) expect(names).toEqual(kept[0]);
    }
  });

  it('of the number of zones moves no subnet that there is', () => {
    const blocks = (zones: number) =>
      Object.entries(synthesise({ ...settingsOf('prod'), zones }).templates.network.Resources)
        .filter(([, { Type }]) => Type === 'AWS::EC2::Subnet')
        .map(([id, { Properties }]) => [id, Properties.CidrBlock] as const);
    const more = new Map(blocks(5));
    for (const [id, block] of blocks(2)) expect(more.get(id), id).toBe(block);
  });
});
