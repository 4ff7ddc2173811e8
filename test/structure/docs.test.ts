// The documentation: every relative link leads somewhere, and every measurement says which command prints it.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { errorDocument } from '../../api/core/error-document.ts';
import { CoreError } from '../../api/core/errors.ts';
import { ERROR_STATUS, ErrorCode } from '../../contracts/src/api/error.ts';
import { STAGE_NAMES } from '../../contracts/src/stages.ts';
import { BOXES } from './floors.ts';

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
      return cells.filter(isMeasurement).length >= 3 && !/\b(npm|npx|node|python -m) (run )?\w/.test(section);
    });
    expect(silent.map((section) => section.split('\n')[0])).toEqual([]);
  },
);

/** The figures of the committed model's card by "SET FIGURE", in the order of its tiers. */
function figuresOfCard(): Map<string, string[]> {
  const rows = text('api/model/MODEL_CARD.md').matchAll(
    /^\| ([\w-]+) \| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|/gm,
  );
  return new Map([...rows].map(([, set, figure, ...tiers]) => [`\`${set}\` ${figure}`, tiers.slice(0, 3)]));
}

it('figures of dev sets in the results are those of the committed card', () => {
  const card = figuresOfCard();
  const rows = [
    ...text('docs/results.md').matchAll(/^\| (`[\w-]+` \S.*?) +\| ([\d.]+) +\| ([\d.]+) +\| ([\d.]+) +\|.*\|$/gm),
  ];
  const shown = rows.filter(([, name = '']) => card.has(name)).map(([, name, ...tiers]) => [name, tiers]);
  expect(Object.fromEntries(shown)).toEqual(Object.fromEntries(card));
});

it('aims in the results are held against the committed card, and told missed by what is lacking', () => {
  const card = figuresOfCard();
  const rows = [
    ...text('docs/results.md').matchAll(
      /^\| (`[\w-]+` \S+) +\| (base|tiny|static) +\| ([\d.]+) +\| ([\d.]+) +\| (.*?) +\|$/gm,
    ),
  ].map(([, name = '', tier = '', ...cells]) => ({ name, tier, cells }));
  expect(rows.length).toBeGreaterThan(0);
  const expected = rows.map(({ name, tier, cells: [aim = ''] }) => {
    const measured = card.get(name)?.[['base', 'tiny', 'static'].indexOf(tier)] ?? 'not in the card';
    const lacking = Number(aim) - Number(measured);
    return { name, tier, cells: [aim, measured, lacking > 0 ? `missed by ${lacking.toFixed(1)}` : 'met'] };
  });
  expect(rows).toEqual(expected);
});

/** Paths of the repository in backticks, `{a,b}` spelled out. Examples of what does not exist yet are named in code blocks or as these. */
const EXAMPLES = /\/(count|caption[-_]stats|test_caption_stats|hash|NAME|CountRequest)\b|\.venv|[<*…]/;
function pathsIn(document: string): string[] {
  const spans = [...document.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code);
  return spans
    .filter((code) => /^(api|contracts|docs|infra|test|trainer)\/\S*$/.test(code) && !EXAMPLES.test(code))
    .flatMap((code) => {
      const [, head = code, options, tail = ''] = /^([^{]*)\{([^}]*)\}(.*)$/.exec(code) ?? [];
      return options === undefined ? [code] : options.split(',').map((option) => `${head}${option}${tail}`);
    });
}

// The changelog and the log speak of the tree as it was.
it.each(DOCUMENTS.filter((file) => !/CHANGELOG|LOG\.md/.test(file)))('every path that %s names exists', (file) => {
  expect(pathsIn(text(file)).filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

it('every question of users is answered by a test, or a page, that is there', () => {
  const scripts = Object.keys((JSON.parse(text('package.json')) as { scripts: Record<string, string> }).scripts);
  const rows = [...text('docs/guides/questions.md').matchAll(/^\| ([^|]+\?) +\| ([^|]+) \| ([^|]+) \|$/gm)];
  expect(rows.length).toBeGreaterThan(20);
  const wanting = rows.flatMap(([, question = '', answer = '', shown = '']) => {
    const tests = [...shown.matchAll(/(?<![(\w/])test\/[\w./-]+/g)].map(([path]) => path);
    const commands = [...answer.matchAll(/`npm run ([\w:-]+)/g)].map(([, name = '']) => name);
    const absent = tests.filter(
      (path) => !/(^|\/)test_\w+\.py$|\.test\.ts$/.test(path) || !existsSync(join(ROOT, path)),
    );
    const isShown = tests.length > 0 || /\]\([^)]+\)/.test(shown);
    return isShown && absent.length === 0 && commands.every((name) => scripts.includes(name))
      ? []
      : [question, ...absent];
  });
  expect(wanting).toEqual([]);
});

it('README, glossary and architecture name every stage', () => {
  for (const file of ['README.md', 'docs/glossary.md', 'docs/architecture.md'])
    expect(STAGE_NAMES.filter((stage) => !text(file).includes(stage))).toEqual([]);
});

it('the page of commands has every script of package.json, and no other', () => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  const rows = [...text('docs/commands.md').matchAll(/^\| `npm (?:run )?([\w:-]+)` +\|/gm)].map(
    ([, name = '']) => name,
  );
  expect(rows.toSorted()).toEqual(Object.keys(scripts).toSorted());
});

it('the import rule of the architecture is the one that is checked, and imports go down', () => {
  const rows = [...text('docs/architecture.md').matchAll(/^\| (\d+) +\| `([^`]+)` +\| (.*)\|$/gm)].map(
    ([, floor = '', box = '', imports = '']) => ({
      floor: Number(floor),
      box,
      imports: [...imports.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name).toSorted(),
    }),
  );
  expect(Object.fromEntries(rows.map(({ box, imports }) => [box, imports]))).toEqual(
    Object.fromEntries(Object.entries(BOXES).map(([box, imports]) => [box, imports.toSorted()])),
  );
  const floors = new Map(rows.map(({ box, floor }) => [box, floor]));
  const up = rows.filter(({ floor, imports }) => imports.some((name) => (floors.get(name) ?? Infinity) >= floor));
  expect(up).toEqual([]);
});

it('every folder of the import rule has a row that says what may be in it', () => {
  const rows = [...text('docs/architecture.md').matchAll(/^\| `([^`]+)` +\| (.*) \|$/gm)];
  const said = new Map(rows.map(([, folder = '', may = '']) => [folder, may]));
  const folders = Object.keys(BOXES).filter((box) => !/\.(ts|py)$/.test(box));
  // What a folder has below it may be named in its own row.
  const isSaid = (box: string) => said.has(box) || said.get(dirname(box))?.includes(`\`${basename(box)}/\``);
  expect(folders.filter((box) => !isSaid(box))).toEqual([]);
});

it('the page of errors has every code with its status, and no other', () => {
  const rows = [...text('docs/errors.md').matchAll(/^\| `(\w+)` (\d{3}) +\|/gm)];
  expect(Object.fromEntries(rows.map(([, code = '', status]) => [code, Number(status)]))).toEqual(ERROR_STATUS);
});

/** The codes that a list in a sentence names by themselves or by their status: "500, `quota_exceeded` and 504". */
const codesIn = (list: string): ErrorCode[] =>
  ErrorCode.options.filter((code) => list.includes(`\`${code}\``) || list.includes(String(ERROR_STATUS[code])));

it.each(['docs/errors.md', 'docs/guide.md'])(
  '%s says on which answers clients are told to come again, and when',
  (file) => {
    const [, waits = '', but = ''] =
      /([\d, and`\w]+) carry `Retry-After` in seconds, all but ([\d, and`\w]+)/.exec(text(file)) ?? [];
    const heads = ErrorCode.options.map((code) => ({ code, ...errorDocument(new CoreError(code, ''), '') }));
    const having = (header: string) => heads.filter(({ headers }) => header in headers).map(({ code }) => code);
    expect(codesIn(waits).filter((code) => !codesIn(but).includes(code))).toEqual(having('Retry-After'));
    const [, never] = /([\d, and`\w]+) carry `x-should-retry: false`/.exec(text(file)) ?? [];
    if (never !== undefined || file === 'docs/errors.md')
      expect(codesIn(never ?? '')).toEqual(having('x-should-retry'));
  },
);
