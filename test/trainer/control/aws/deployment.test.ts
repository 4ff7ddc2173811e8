// The deployment that a command is about: the file that is named, the only one there is, or a question.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { outputsFile, readDeployment } from '../../../../trainer/control/aws/deployment.ts';

it('is the only outputs file of the repository, or the one that is named; of several none is guessed', () => {
  const root = mkdtempSync(join(tmpdir(), 'repository '));
  const where = { root, cwd: join(root, 'trainer') };
  expect(() => readDeployment(outputsFile(undefined, where))).toThrow(
    'cdk-outputs.json: deploy first, with npm run deploy -- --environment NAME',
  );
  writeFileSync(join(root, 'cdk-outputs-dev.json'), '{}');
  expect(outputsFile(undefined, where)).toBe(join(root, 'cdk-outputs-dev.json'));
  writeFileSync(join(root, 'cdk-outputs-prod.json'), '{}');
  expect(() => outputsFile(undefined, where)).toThrow(
    'cdk-outputs-dev.json and cdk-outputs-prod.json: --outputs says which',
  );
  expect(outputsFile('../cdk-outputs-prod.json', where)).toBe(join(root, 'cdk-outputs-prod.json'));
  writeFileSync(join(root, 'cdk-outputs.json'), '{}');
  expect(outputsFile(undefined, where)).toBe(join(root, 'cdk-outputs.json'));
});
