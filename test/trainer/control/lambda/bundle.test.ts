// Bundles of the functions of the training state machine: what each needs, and nothing of the command lines.
import { join } from 'node:path';
import { build } from 'esbuild';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../../..');

/** Our files that esbuild puts into a function, and the packages that they import. */
async function bundleOf(name: string): Promise<{ files: string[]; packages: string[] }> {
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: [`trainer/control/lambda/${name}.ts`],
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    write: false,
    metafile: true,
  });
  const imports = Object.values(metafile.inputs).flatMap((input) => input.imports);
  const packages = imports.filter(({ external, path }) => external && !path.startsWith('node:'));
  return {
    files: Object.keys(metafile.inputs),
    packages: [...new Set(packages.map(({ path }) => path))].sort(),
  };
}

/** Folders of the control plane that a bundle holds files of. */
function foldersOf(files: readonly string[]): string[] {
  const folders = files.flatMap((file) => /^trainer\/control\/(\w+)\//.exec(file)?.[1] ?? []);
  return [...new Set(folders)].sort();
}

it('Plan holds the planner and the runs it plans against, no command, no uploader and no client of Batch or logs', async () => {
  const { files, packages } = await bundleOf('plan');
  expect(foldersOf(files)).toEqual(['lambda', 'plan', 'recipe', 'run']);
  // Of recipes only what merges a variant into one: nothing that reads files.
  expect(files.filter((file) => file.startsWith('trainer/control/recipe/')).toSorted()).toEqual([
    'trainer/control/recipe/merge.ts',
    'trainer/control/recipe/variants.ts',
  ]);
  expect(files).toContain('trainer/control/run/stored-plan.ts');
  expect(files.filter((file) => file.startsWith('contracts/command/'))).toEqual([]);
  expect(packages).not.toContain('@aws-sdk/client-batch');
  expect(packages).not.toContain('@aws-sdk/client-cloudwatch-logs');
});

it.each(['gate', 'publish'])('%s holds of the control plane only what reads its environment', async (name) => {
  const { files } = await bundleOf(name);
  expect(foldersOf(files)).toEqual(['lambda']);
});

it('Gate reads a candidate and decides, and holds nothing that publishes', async () => {
  const { files } = await bundleOf('gate');
  expect(files).toContain('api/registry/candidate.ts');
  expect(files).not.toContain('api/registry/publish.ts');
});

it('Switch holds the clients of what it stops, and nothing that reads or writes a store', async () => {
  const { files, packages } = await bundleOf('switch');
  expect(foldersOf(files)).toEqual(['lambda']);
  expect(packages).toEqual(['@aws-sdk/client-batch', '@aws-sdk/client-scheduler', '@aws-sdk/client-sfn', 'zod']);
});
