// Rules of the tree that neither a compiler nor a formatter keeps: size, first lines, names, who may read and import what.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const FILES = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
/** Written by people: generated files and golden data are marked as such elsewhere. */
const isOwn = (file: string): boolean =>
  !/^contracts\/(vectors|schema)\/|python\/contracts\/(types|constants)\.py$/.test(file);
const SOURCES = FILES.filter((file) => /\.(ts|js|py)$/.test(file) && isOwn(file));
const isTest = (file: string): boolean => file.startsWith('test/');

it('every source file says in its first line what it is', () => {
  const silent = SOURCES.filter((file) => {
    const [first = ''] = text(file).split('\n');
    return !(file.endsWith('.py') ? /^("""|#)\S?./ : /^\/\/ \S/).test(first);
  });
  expect(silent).toEqual([]);
});

it('no source file is longer than a person reads in one go', () => {
  const limit = (file: string): number => (isTest(file) ? 550 : 300);
  const long = SOURCES.map((file) => ({ file, lines: text(file).split('\n').length - 1 }));
  expect(long.filter(({ file, lines }) => lines > limit(file))).toEqual([]);
});

it('nothing is put into a drawer', () => {
  const drawers = /(^|\/)(utils?|common|misc|helpers?|legacy|deprecated)(\/|\.|$)/;
  expect(FILES.filter((file) => drawers.test(file))).toEqual([]);
});

it('only entries and the hosts that they start read the environment', () => {
  const readers = [
    'api/encoder/hosts/batch.ts',
    'api/encoder/hosts/server.ts',
    'api/encoder/hosts/service.ts',
    'api/dev/local-encoder.ts',
    'api/dev/serve.ts',
    'trainer/container/__main__.py',
    'trainer/control/cli/train.ts',
    'trainer/control/lambda/gate.ts',
    'trainer/control/cli/model.ts',
    'trainer/control/lambda/plan.ts',
    'trainer/control/lambda/publish.ts',
    // PROGRESS_SECONDS: a stage has no other entry than this.
    'trainer/towers/run.py',
  ];
  const found = SOURCES.filter((file) => !isTest(file) && /process\.env|os\.environ|os\.getenv/.test(text(file)));
  expect(found.sort()).toEqual(readers.sort());
});

it('only the thin ends know AWS', () => {
  const ends = [
    'trainer/container/folders.py',
    'trainer/control/aws/batch.ts',
    'trainer/control/aws/logs.ts',
    'api/registry/stores/s3.ts',
  ];
  const sdk = /['"]@aws-sdk\/|^\s*(import|from) (boto3|botocore)/m;
  expect(SOURCES.filter((file) => !isTest(file) && sdk.test(text(file))).sort()).toEqual(ends.sort());
});

it.each([
  ['towers', ['contracts', 'towers']],
  ['stages', ['contracts', 'towers']],
  ['container', ['container', 'contracts']],
])('the Python package %s imports no other of ours than %j', (box, allowed) => {
  const ours = ['contracts', 'towers', 'stages', 'container'];
  const imported = SOURCES.filter((file) => file.startsWith(`trainer/${box}/`) && file.endsWith('.py')).flatMap(
    (file) =>
      [...text(file).matchAll(/^\s*(?:from|import) (\w+)/gm)].flatMap(([, name = '']) =>
        ours.includes(name) ? [name] : [],
      ),
  );
  expect([...new Set(imported)].filter((name) => !allowed.includes(name))).toEqual([]);
});

it('no TypeScript files import each other in a circle', () => {
  const imports = new Map(
    SOURCES.filter((file) => file.endsWith('.ts')).map((file) => [
      file,
      [...text(file).matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+\.ts)'/gm)].map(([, path = '']) =>
        normalize(join(dirname(file), path)),
      ),
    ]),
  );
  const circles: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
    else if (!done.has(file)) {
      for (const next of imports.get(file) ?? []) walk(next, [...path, file]);
      done.add(file);
    }
  };
  for (const file of imports.keys()) walk(file, []);
  expect(circles).toEqual([]);
});

it('nothing committed names a folder of the machine that it was written on', () => {
  const written = FILES.filter(
    (file) => /\.(ts|js|py|md|json|toml|yaml|html|css)$|Dockerfile$/.test(file) && isOwn(file),
  );
  const named = written.filter((file) => /(?:^|[="'`( ])\/(?:Users|root|home\/\w+|work)\/\w/m.test(text(file)));
  expect(named).toEqual([]);
});
