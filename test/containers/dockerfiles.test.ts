// Every Dockerfile: pinned, not root, clean, and building from what is in the repository. No container engine is needed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { STAGE_NAMES } from '../../contracts/src/stages.ts';
import { codeDigests, sourceReader } from '../../trainer/control/plan/code-digest.ts';
import { trainerPython } from '../support/python.ts';
import { copyOf, filesBelow, lastOf, ROOT, readDockerfile, readIgnore, replay } from './dockerfile.ts';

let python = '';
beforeAll(async () => {
  python = await trainerPython();
}, 900_000);

describe.each(['trainer/Dockerfile', 'api/encoder/Dockerfile', 'api/encoder/gpu.Dockerfile'])('%s', (path) => {
  const stages = readDockerfile(path);
  const final = stages.at(-1);
  if (final === undefined) throw new Error(`${path} has no stage`);

  test('hadolint finds nothing', () => {
    const hadolint = join(dirname(python), 'hadolint');
    const { status, stdout, stderr } = spawnSync(hadolint, ['--no-color', '-c', '.hadolint.yaml', path], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(stdout + stderr).toBe('');
    expect(status).toBe(0);
  });

  test('every base is named by digest and by a tag that says what it is', () => {
    for (const { base } of stages) expect(base).toMatch(/^[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}$/);
    for (const { base } of stages) expect(base).not.toContain(':latest');
  });

  test('runs as a numbered user that is not root', () => {
    expect(lastOf(final, 'USER')?.text).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  });

  test('the entrypoint and the command are in exec form', () => {
    const form = (name: string) => JSON.parse(lastOf(final, name)?.text ?? '[]');
    expect(form('ENTRYPOINT')).toEqual(expect.arrayContaining([expect.any(String)]));
    expect(form('CMD')).toBeInstanceOf(Array);
  });

  test('nothing is added but copies of files that are there and that a build may see', () => {
    const isIgnored = readIgnore();
    const instructions = stages.flatMap((stage) => stage.instructions);
    expect(instructions.filter(({ name }) => name === 'ADD')).toEqual([]);
    const copies = instructions.filter(({ name }) => name === 'COPY');
    for (const source of copies.filter(({ flags }) => !flags.from).flatMap((copy) => copyOf(copy).sources)) {
      expect(existsSync(join(ROOT, source)), source).toBe(true);
      expect(isIgnored(source), source).toBe(false);
    }
    const names = stages.map(({ name }) => name);
    for (const { flags } of copies) if (flags.from) expect(names).toContain(flags.from);
  });
});

test('.dockerignore keeps out what belongs to one machine, to its owner or to nobody', () => {
  const isIgnored = readIgnore();
  const out = [
    ['.git/config', 'node_modules/zod/package.json', 'trainer/.venv/bin/python', 'trainer/stages/.venv/bin/python'],
    [
      'runs/smoke/report.json',
      'data/photos/1.jpg',
      'build/types/x.d.ts',
      '.env',
      'trainer/stages/__pycache__/clip.pyc',
    ],
    ['test/check.ts', 'trainer/LOG.md', 'trainer/control/cli/train.ts', 'api/worker/index.ts', 'cdk.json'],
  ];
  for (const path of out.flat()) expect(isIgnored(path), path).toBe(true);
  const seen = [
    'package.json',
    'trainer/stages/clip.py',
    'trainer/engine/run.py',
    'contracts/python/contracts/types.py',
  ];
  for (const path of seen) expect(isIgnored(path), path).toBe(false);
});

test("the training image's source: what the stages need, readable, stamped with the planner's own digests", () => {
  const stages = readDockerfile('trainer/Dockerfile');
  const top = replay(stages.slice(0, 1));
  try {
    const app = join(top, 'source', 'app');
    const files = filesBelow(app);
    const folders = new Set(files.map((file) => dirname(file)));
    expect(folders).toEqual(
      new Set([
        'contracts/python/contracts',
        'contracts/schema',
        'trainer',
        'trainer/container',
        'trainer/engine',
        'trainer/engine/folders',
        'trainer/data',
        'trainer/data/captions',
        'trainer/data/prepared',
        'trainer/evaluation',
        'trainer/evaluation/recipe',
        'trainer/evaluation/sets',
        'trainer/losses',
        'trainer/stages',
        'trainer/tasks',
        'trainer/tasks/clip',
        'trainer/tasks/clip_data',
        'trainer/towers',
        'trainer/towers/adaptation',
        'trainer/towers/export',
        'trainer/towers/formats',
        'trainer/towers/image',
        'trainer/towers/imitation',
        'trainer/towers/language',
        'trainer/towers/regions',
        'trainer/towers/student',
        'trainer/towers/text',
      ]),
    );
    for (const file of files) expect(statSync(join(app, file)).mode & 0o444, file).toBe(0o444);
    const env = { PATH: '/usr/bin:/bin', PYTHONPATH: `${app}/trainer:${app}/contracts/python` };
    const printed = execFileSync('cat', [join(app, 'trainer/code-digests.json')], { encoding: 'utf8' });
    expect(JSON.parse(printed)).toEqual(codeDigests(STAGE_NAMES, sourceReader(join(ROOT, 'trainer'))));
    const usage = spawnSync(python, ['-m', 'container', '--help'], {
      cwd: join(app, 'trainer'),
      env,
      encoding: 'utf8',
    });
    expect(usage).toMatchObject({ status: 0, stderr: expect.stringContaining('usage: python -m container') });
  } finally {
    rmSync(top, { recursive: true });
  }
});
