// The inner loop: one test file or folder, one staged file, in either language, without what it does not need.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
/** No command that gets by without Python may touch this. */
const NO_PYTHON = { TRAINER_PYTHON: '/nowhere/python' };
let scratch = '';
afterEach(() => {
  if (scratch !== '') rmSync(scratch, { recursive: true });
  scratch = '';
});

function run(script: string, args: string[], { cwd = ROOT } = {}) {
  const env = { ...process.env, ...NO_PYTHON, INIT_CWD: cwd, FORCE_COLOR: '0' };
  const { status, stdout, stderr } = spawnSync(process.execPath, [join('test', script), ...args], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
  });
  return { status, last: stdout.trim().split('\n').at(-1), out: stdout + stderr };
}

describe('npm test', () => {
  test('runs one file, named from where the user stands, without Python', () => {
    const { status, last } = run('run.ts', ['hash.test.ts'], { cwd: scratchTests() });
    expect({ status, last }).toEqual({ status: 0, last: '2 passed, 0 failed' });
  });

  test('runs the tests of a name only', () => {
    const { status, last } = run('run.ts', [scratchTests(), '-t', 'is (one)']);
    expect({ status, last }).toEqual({ status: 0, last: '1 passed, 0 failed, 1 skipped' });
  });

  test('a Python file needs Python; both languages are counted', () => {
    const folder = scratchTests();
    writeFileSync(join(folder, 'test_one.py'), '"""One."""\n\n\ndef test_one() -> None:\n    pass\n');
    const { status, out, last } = run('run.ts', [folder]);
    expect(out).toContain('== Python tests: exit 127');
    expect({ status, last }).toEqual({ status: 1, last: '2 passed, 1 failed' });
  });

  test.each([
    [['test/nowhere.test.ts'], 'test/nowhere.test.ts does not exist'],
    [['api/core'], 'api/core holds no tests'],
    [['--only', 'rust'], '--only rust: typescript or python'],
  ])('%j is refused', (args, sentence) => {
    const { status, out } = run('run.ts', args);
    expect(status).toBe(2);
    expect(out).toContain(sentence);
  });
});

describe('npm run check', () => {
  test('of one file says what is wrong with it and repairs it, without Python', () => {
    const file = join(scratchTests(), 'document.json');
    writeFileSync(file, '{"a":1}');
    expect(run('check.ts', [file])).toMatchObject({ status: 1, out: expect.stringMatching(/FAIL biome/) });
    expect(run('check.ts', ['--fix', file])).toMatchObject({ status: 0, out: expect.stringMatching(/ok {3}biome/) });
    expect(readFileSync(file, 'utf8')).toBe('{ "a": 1 }\n');
  });

  test('what no linter knows is let through', () => {
    expect(run('check.ts', ['--fix', 'LICENSE', 'trainer/Dockerfile'])).toMatchObject({ status: 0 });
  });
});

/** A folder of the repository with one test file, so that every tool finds its configuration. */
function scratchTests(): string {
  scratch = mkdtempSync(join(import.meta.dirname, 'scratch-'));
  const lines = [
    '// A test that is here for a moment.',
    "import { expect, test } from 'vitest';",
    '',
    "test('is (one)', () => expect(1).toBe(1));",
    "test('is two', () => expect(2).toBe(2));",
  ];
  writeFileSync(join(scratch, 'hash.test.ts'), `${lines.join('\n')}\n`);
  return scratch;
}
