// The documentation: every relative link leads somewhere, and every measurement says which command prints it.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENTS = execFileSync('git', ['ls-files', '*.md'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const CODE = /^```[\s\S]*?^```|`[^`\n]*`/gm;

/** Anchors as GitHub makes them from headings. */
function anchors(document: string): Set<string> {
  const headings = document.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

it.each(DOCUMENTS)('every relative link of %s leads to a file and a heading', (file) => {
  const links = [
    ...text(file)
      .replace(CODE, '')
      .matchAll(/\]\(([^)\s]+)\)/g),
  ].map(([, link = '']) => link);
  const broken = links
    .filter((link) => !/^[a-z]+:/.test(link))
    .filter((link) => {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? file : join(dirname(file), path);
      if (!existsSync(join(ROOT, target))) return true;
      return anchor !== undefined && !anchors(text(target)).has(anchor);
    });
  expect(broken).toEqual([]);
});

/** A table with at least three cells that are measurements: a number with a fraction, or with a unit. */
const isMeasurement = (cell: string): boolean => /^[−-]?\d[\d,]*(\.\d+)?( ?(%|ms|s|µs|MiB|points))?$/.test(cell.trim());

// The model card is written by the export stage, which is where its figures come from.
it.each(DOCUMENTS.filter((file) => !file.startsWith('api/model/')))(
  'every table of measurements in %s names the command that prints it',
  (file) => {
    const sections = text(file).split(/^(?=#+ )/m);
    const silent = sections.filter((section) => {
      const cells = [...section.matchAll(/^\|(.*)\|$/gm)].flatMap(([, row = '']) => row.split('|'));
      return cells.filter(isMeasurement).length >= 3 && !/\b(npm|npx|node) (run )?\w/.test(section);
    });
    expect(silent.map((section) => section.split('\n')[0])).toEqual([]);
  },
);

/** Boxes of the compiler by folder, with those that each references. `api/text/engine.ts` has a configuration of its own. */
function boxes(): Record<string, string[]> {
  const named = (config: string): string =>
    config === 'api/text/tsconfig.engine.json' ? 'api/text/engine.ts' : dirname(config);
  const configs = execFileSync('git', ['ls-files', '*tsconfig*.json'], { cwd: ROOT, encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter((file) => file.includes('/') && !file.startsWith('test/'));
  return Object.fromEntries(
    configs.map((config) => {
      const references = [...text(config).matchAll(/"path": "([^"]+)"/g)].map(([, path = '']) =>
        named(normalize(join(dirname(config), path.endsWith('.json') ? path : join(path, 'tsconfig.json')))),
      );
      return [named(config), references.toSorted()];
    }),
  );
}

it('the import rule of the architecture is the one that the compiler keeps, and imports go down', () => {
  const rows = [...text('docs/architecture.md').matchAll(/^\| (\d+) +\| `([^`]+)` +\| (.*)\|$/gm)].map(
    ([, floor = '', box = '', imports = '']) => ({
      floor: Number(floor),
      box,
      imports: [...imports.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name).toSorted(),
    }),
  );
  expect(Object.fromEntries(rows.map(({ box, imports }) => [box, imports]))).toEqual(boxes());
  const floors = new Map(rows.map(({ box, floor }) => [box, floor]));
  const up = rows.filter(({ floor, imports }) => imports.some((name) => (floors.get(name) ?? Infinity) >= floor));
  expect(up).toEqual([]);
});
