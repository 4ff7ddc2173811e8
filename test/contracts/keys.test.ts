// Keys of the object store: what they look like, what is refused, and that no other code builds one.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  artefactKey,
  bulkFiles,
  bulkFolder,
  currentKey,
  dataFileKey,
  dataPrefix,
  datasetKey,
  FILES,
  folderOf,
  jobKey,
  jobOfKey,
  keyPattern,
  manifestKey,
  modelOfPointer,
  PREFIXES,
  recipeOfDataset,
  releaseKey,
  requestKey,
  runFolder,
  shardOfDone,
} from '../../contracts/src/keys.ts';

const ROOT = join(import.meta.dirname, '../..');
const HEX = '0123456789abcdef'.repeat(4);
const DIGEST = `sha256:${HEX}`;

describe('a key', () => {
  it.each([
    [artefactKey(DIGEST), `artefacts/sha256/${HEX}`],
    [manifestKey(DIGEST), `manifests/sha256/${HEX}.json`],
    [releaseKey(DIGEST), `releases/sha256/${HEX}.json`],
    [currentKey('edge-clip'), 'models/edge-clip/current.json'],
    [dataPrefix(DIGEST), `data/sha256/${HEX}`],
    [dataFileKey(DIGEST), `data/files/${HEX}`],
    [datasetKey('shop'), 'datasets/shop/current.json'],
    [requestKey('smoke'), 'recipes/smoke.json'],
    [jobKey({ recipe: 'smoke', job: 'clip-llm-1', address: DIGEST }), 'runs/smoke/clip-llm-1-0123456789ab/job.json'],
    [keyPattern('models'), 'models/*'],
    [keyPattern('runs', FILES.job), 'runs/*/job.json'],
  ])('is %s', (key, expected) => {
    expect(key).toBe(expected);
  });

  it('of a run is the same below a bucket, a folder and a URI', () => {
    const run = { recipe: 'smoke', job: 'mntp', address: DIGEST };
    expect(runFolder('s3://bucket/runs', run)).toBe('s3://bucket/runs/smoke/mntp-0123456789ab');
    expect(runFolder('file:///here', run)).toBe('file:///here/smoke/mntp-0123456789ab');
  });

  it('gives back what it was made of', () => {
    expect(modelOfPointer(currentKey('edge-clip'))).toBe('edge-clip');
    expect(modelOfPointer(manifestKey(DIGEST))).toBeUndefined();
    expect(recipeOfDataset(datasetKey('shop'))).toBe('shop');
    expect(recipeOfDataset(currentKey('shop'))).toBeUndefined();
    expect(folderOf('runs/smoke/mntp-0123456789ab/report.json', FILES.report)).toBe('runs/smoke/mntp-0123456789ab');
    expect(folderOf('runs/smoke/other-report.json', FILES.report)).toBeUndefined();
  });

  it('numbers the files of a bulk shard with four digits', () => {
    const { part, ...files } = bulkFiles(7);
    expect(part('parquet')).toBe('part-0007.parquet');
    expect(Object.values(files)).toEqual([
      'input/shard-0007.jsonl',
      'errors-0007.jsonl',
      'part-0007.done.json',
      'part-0007.ids.jsonl',
    ]);
    expect(shardOfDone(`${bulkFolder('job_0123456789abcdef')}/${bulkFiles(9999).done}`)).toBe(9999);
    expect(shardOfDone(part('jsonl'))).toBeUndefined();
  });

  it('of a bulk job is below its folder, and no other id makes one', () => {
    expect(bulkFolder('job_0123456789abcdef')).toBe('jobs/job_0123456789abcdef');
    expect(jobOfKey('jobs/job_0123456789abcdef/job.json')).toBe('job_0123456789abcdef');
    expect(jobOfKey('runs/job_0123456789abcdef/job.json')).toBeUndefined();
    for (const id of ['', '../secrets', 'job_../../secrets/up', 'job_1'])
      expect(() => bulkFolder(id)).toThrow(TypeError);
  });
});

describe('a key is refused', () => {
  it.each(['', '../secrets', 'a..b', 'Upper', 'a/b', 'x'.repeat(65)])('for a model named %j', (name) => {
    expect(() => currentKey(name)).toThrow(TypeError);
  });

  it('for a recipe with 65 characters, as the contract of recipes and the settings of a schedule do', () => {
    expect(() => requestKey('r'.repeat(65))).toThrow(TypeError);
    expect(requestKey('r'.repeat(64))).toBe(`recipes/${'r'.repeat(64)}.json`);
  });

  it.each(['sha256:abc', HEX, `sha256:${HEX.toUpperCase()}`])('for %s, which is not a digest', (digest) => {
    expect(() => artefactKey(digest)).toThrow(TypeError);
  });
});

/** Names of `FILES` as a literal of their own: whoever needs one takes it from the table. */
const FILE_LITERAL = new RegExp(`['"\`](?:${Object.values(FILES).join('|').replaceAll('.', '\\.')})['"\`]`);
/** A prefix with its slash at the start of a literal, or one of the names of `FILES` that only a key has. */
const LITERALS = [
  new RegExp(`['"\`](?:${Object.values(PREFIXES).join('|')})/(?!\\$\\{file\\})`),
  new RegExp(
    `/(?:${[FILES.job, FILES.report, FILES.lease, FILES.pointer, FILES.dataIndex].join('|').replaceAll('.', '\\.')})['"\`]`,
  ),
  FILE_LITERAL,
  /slice\('sha256:'\.length\)|slice\(0, 12\)/,
];
/** `recipes/` is also a folder of the repository, `models/` one of a route, and `datasets/` one of a published benchmark. */
const EXCEPTIONS = [/datasets\/IIW-400\//, /recipes\/\$\{(?:file|name)\}/, /recipes\/(?:\w+)\.json/];

// In Python, backticks are prose.
it('no code beside contracts/src/keys.ts builds a key', () => {
  const files = execFileSync('git', ['ls-files', 'api', 'infra', 'trainer'], { cwd: ROOT, encoding: 'utf8' });
  const found = files
    .trim()
    .split('\n')
    .filter((file) => /\.(ts|py)$/.test(file))
    .flatMap((file) =>
      readFileSync(join(ROOT, file), 'utf8')
        .split('\n')
        .map((line) => (file.endsWith('.py') ? line.replace(/`[^`]*`/g, '') : line))
        .map((line, index) => ({ place: `${file}:${index + 1}`, line: line.trim() })),
    )
    .filter(({ line }) => !/^(\/\/|\*|\/\*\*|#)/.test(line))
    .filter(({ line }) => LITERALS.some((literal) => literal.test(line)))
    .filter(({ line }) => !EXCEPTIONS.some((exception) => exception.test(line)));
  expect(found).toEqual([]);
});
