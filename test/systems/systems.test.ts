// Two rows of `npm run systems` from public layouts to a service, and docs/systems.md against the table.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { warmPython } from '../support/python.ts';
import { type List, listSystems } from './columns.ts';
import { failures, type Report, tableOf } from './report.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 600_000 });
const COMMAND = join(import.meta.dirname, 'run.ts');
const DOCS = readFileSync(join(import.meta.dirname, '../../docs/systems.md'), 'utf8');
const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('systems-'));

let list: List;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  const python = await warmPython();
  environment = { ...process.env, TRAINER_PYTHON: python };
  list = await listSystems(python);
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}
async function systems(...args: string[]): Promise<Ended> {
  try {
    const ended = await promisify(execFile)(process.execPath, [COMMAND, ...args], { env: environment });
    return { code: 0, ...ended };
  } catch (error) {
    return error as Ended;
  }
}

test('a teacher that is used as it is and a tower with its own text encoder go all the way', async () => {
  const before = left();
  const { code, stdout, stderr } = await systems('--only', 'llm2clip openai-b-16', '--json');
  expect(code, stderr).toBe(0);
  const report = JSON.parse(stdout) as Report;
  const [system] = report.systems;
  expect(
    Object.entries(system?.cells ?? {})
      .map(([column, { state }]) => [column, state])
      .sort(),
  ).toEqual(list.columns.map((column) => [column, 'passed']).sort());
  expect(system?.cells.constructs?.said).toContain('85.8 M');
  expect(stderr).toMatch(/\d+\/6 .* left\)/);
  expect(left()).toEqual(before);
});

test('a name that no row has is refused with those that there are', async () => {
  const { code, stderr } = await systems('--only', 'no-such-system');
  expect(code).toBe(2);
  expect(stderr).toContain('--only no-such-system: there are ');
  expect(stderr).toContain('EVA02-CLIP');
});

describe('the report', () => {
  const cell = (state: 'passed' | 'failed' | 'not run', said: string) => ({ state, said, seconds: 1 });
  const report: Report = {
    columns: ['loads', 'trains'],
    systems: [
      { row: 'A', about: '', cells: { loads: cell('passed', ''), trains: cell('failed', 'a tensor is wrong') } },
    ],
    seconds: 2,
    versions: {},
  };
  test('says what failed', () => {
    expect(failures(report)).toEqual(['A, trains: a tensor is wrong']);
    expect(tableOf(report)).toContain('✗ A, trains: a tensor is wrong');
    expect(tableOf(report)).toContain('1 passed, 1 failed, 0 not run');
  });
});

describe('docs/systems.md', () => {
  const rows = DOCS.split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2);
  const cells = rows.map((line) => line.split(' | ').map((cell) => cell.replaceAll('|', '').trim()));

  test('has every row of the table', () => {
    expect(cells.map(([name]) => name)).toEqual(list.rows.map(({ row }) => row));
  });
  test('says of no system that it failed, and why a column was not run', () => {
    for (const row of cells) {
      const [why, marks] = [row.at(-1) ?? '', row.slice(2, -1)];
      expect(marks.filter((mark) => mark !== '✓' && mark !== 'not run')).toEqual([]);
      const reasons = list.columns.filter((column) => why.includes(`${column}: not run: `));
      expect(reasons.length).toBe(marks.filter((mark) => mark === 'not run').length);
    }
  });
});
