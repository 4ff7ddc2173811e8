// `npm run model` from outside: a trained recipe is published, listed, held back and rolled back.
import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { GOOD_EVALUATION, plantModel, smallModel } from '../../../support/exported-model.ts';
import { createRepository, model, type TinyRepository, train } from '../../../support/tiny-repository.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
const RECIPE = 'recipes/tiny.json';
const RECIPE_FILE = 'trainer/recipes/tiny.json';

/** Trains `version` of the model: export and evaluate run again, the rest is reused. */
async function retrain(
  { root, recipeFile }: TinyRepository,
  version: string,
  evaluated: Record<string, number> = GOOD_EVALUATION,
): Promise<void> {
  plantModel(root, smallModel(version), { evaluated });
  const recipe = JSON.parse(readFileSync(recipeFile, 'utf8'));
  recipe.export.version = version;
  writeFileSync(recipeFile, JSON.stringify(recipe));
  expect((await train(root, [RECIPE])).code).toBe(0);
}

const manifestIn = (folder: string) => JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));

describe('a registry beside the repository', () => {
  let repository: TinyRepository;
  beforeAll(() => {
    repository = createRepository();
  });
  const run = async (...args: string[]) => {
    const { code, stdout } = await model(repository.root, [...args, '--json']);
    return { code, answer: JSON.parse(stdout) };
  };

  it('is empty at first, and an unfinished recipe has nothing to publish', async () => {
    expect(await run('list')).toMatchObject({ code: 0, answer: { names: [] } });
    const { code, stderr } = await model(repository.root, ['publish', RECIPE]);
    expect(code).toBe(2);
    expect(stderr).toBe('export of tiny is not finished: npm run train -- recipes/tiny.json does it\n');
  });

  it('takes a trained model that passes, after --check only said that it would', async () => {
    await retrain(repository, '1');
    const check = await run('publish', RECIPE, '--check');
    expect(check).toMatchObject({ code: 0, answer: { decision: 'publish', published: null } });
    expect((await run('list')).answer.names).toEqual([]);
    const { code, stdout } = await model(repository.root, ['publish', RECIPE]);
    expect(code).toBe(0);
    expect(stdout).toContain('ok   parity.text.mean 0.998 >= 0.99');
    expect(stdout).toContain('tiny 1 is current in file://');
    expect((await run('list')).answer.names).toEqual(['tiny']);
    const again = await run('publish', RECIPE);
    expect(again).toMatchObject({ code: 1, answer: { decision: 'reject', reasons: ['tiny 1 is current already'] } });
  });

  it('keeps the current model when the next one is worse, unless a person insists and says why', async () => {
    await retrain(repository, '2', { ...GOOD_EVALUATION, 'student_int8.mean_recall': 0.4 });
    const rejected = await run('publish', RECIPE);
    expect(rejected.code).toBe(1);
    expect(rejected.answer.reasons).toEqual(['student_int8.mean_recall is 0.4; at least 0.495 is needed']);
    const forced = await run('publish', RECIPE, '--force', 'the dev split was too easy');
    expect(forced.code).toBe(0);
    const { answer } = await run('list', 'tiny');
    expect(
      answer.moves.map(({ version, action }: { version: string; action: string }) => `${action} ${version}`),
    ).toEqual(['publish 2', 'publish 1']);
    expect(answer.moves[0].reasons[0]).toBe('in spite of the gate: the dev split was too easy');
    expect(answer.current).toBe(forced.answer.published.manifest);
  });

  it('takes the current model with other scores out of a folder, and no other folder without a reason', async () => {
    const { current } = (await run('list', 'tiny')).answer;
    const folders = globSync('runs/tiny/export-*', { cwd: repository.root }).map((name) => join(repository.root, name));
    const exported = folders.find((folder) => manifestIn(folder).version === '2') ?? '';
    const folder = join(repository.root, 'tiny-3');
    const write = (changes: object): void =>
      writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifestIn(exported), ...changes }));
    cpSync(exported, folder, { recursive: true });
    const { calibration } = manifestIn(exported);
    write({ version: '3', calibration: { ...calibration, text_text: { scale: 7, bias: -1 } } });
    const check = await run('publish', 'tiny-3', '--check');
    expect(check).toMatchObject({ code: 0, answer: { decision: 'publish', published: null, incumbent: current } });
    const done = await run('publish', 'tiny-3');
    expect(done.answer.reasons).toEqual(['scores and verdicts fitted again: the towers are those of 2']);
    const again = await run('publish', 'tiny-3');
    expect(again).toMatchObject({
      code: 2,
      answer: { refused: expect.stringContaining('tiny 3 is current in file://') },
    });
    write({ version: '4', space_id: `sha256:${'0'.repeat(64)}` });
    const other = await run('publish', 'tiny-3');
    expect(other).toMatchObject({ code: 2, answer: { refused: expect.stringContaining('held against no gate') } });
    const forced = await run('publish', 'tiny-3', '--force', 'measured elsewhere');
    expect(forced).toMatchObject({ code: 0, answer: { reasons: ['without a gate: measured elsewhere'] } });
    for (let left = 2; left > 0; left -= 1) await run('rollback', 'tiny');
    expect((await run('list', 'tiny')).answer.current).toBe(current);
  });

  it('goes back on one command, which the list shows with its reason', async () => {
    const back = await run('rollback', 'tiny', '--reason', 'too easy indeed');
    expect(back.code).toBe(0);
    const { stdout } = await model(repository.root, ['list', 'tiny']);
    const lines = stdout.trim().split('\n');
    expect(lines[0]).toContain(`current: ${back.answer.manifest}`);
    expect(lines[1]).toMatch(/^\* .* {2}rolled back to 1 {2}sha256:\w{64} {2}too easy indeed$/);
    expect(lines).toHaveLength(8);
  });
});

describe('a registry that has lost a file', () => {
  let repository: TinyRepository;
  const objects = (kind: string): string[] =>
    globSync(`registry/${kind}/sha256/*`, { cwd: repository.root }).map((name) => join(repository.root, name));
  const run = async (...args: string[]) => {
    const { code, stdout } = await model(repository.root, [...args, '--json']);
    return { code, answer: JSON.parse(stdout) };
  };
  const current = async (): Promise<string> => (await run('list', 'tiny')).answer.current;
  let first: string;
  let old: string[];
  beforeAll(async () => {
    repository = createRepository();
    await retrain(repository, '1');
    await run('publish', RECIPE);
    first = await current();
    old = objects('artefacts');
    await retrain(repository, '2');
    expect((await run('publish', RECIPE)).code).toBe(0);
  });

  it('lists every release, and goes back to no model whose file is gone', async () => {
    const [manifest = ''] = objects('manifests').filter((file) => first.endsWith(basename(file, '.json')));
    const kept = readFileSync(manifest);
    writeFileSync(manifest, kept.subarray(1));
    const { code, answer } = await run('list', 'tiny');
    expect(code).toBe(0);
    expect(answer.moves.map(({ version }: { version: string | null }) => version)).toEqual(['2', null]);
    const { stdout } = await model(repository.root, ['list', 'tiny']);
    expect(stdout).toContain(`published (its manifest is missing or damaged)  ${first}`);
    writeFileSync(manifest, kept);

    const [lost = ''] = old;
    const bytes = readFileSync(lost);
    rmSync(lost);
    const before = await current();
    const refused = await run('rollback', 'tiny');
    expect(refused.code).toBe(2);
    expect(refused.answer.refused).toMatch(new RegExp(`${first} cannot come back: .*${basename(lost)}.* is missing`));
    writeFileSync(lost, bytes.subarray(1));
    expect((await run('rollback', 'tiny')).answer.refused).toContain('is cut short');
    expect(await current()).toBe(before);
    writeFileSync(lost, bytes);
  });

  it('has it again when the current model is published again', async () => {
    const before = await current();
    const [manifest = ''] = objects('manifests').filter((file) => before.endsWith(basename(file, '.json')));
    const whole = readFileSync(manifest);
    const altered = objects('artefacts').at(0) ?? '';
    const bytes = readFileSync(altered);
    writeFileSync(
      altered,
      bytes.map((byte) => byte ^ 1),
    );
    rmSync(manifest);
    const again = await run('publish', RECIPE);
    expect(again).toMatchObject({ code: 0, answer: { published: { manifest: before } } });
    expect(again.answer.reasons[0]).toMatch(
      /^[12] of its files were missing there or altered, and were written again$/,
    );
    expect(readFileSync(manifest)).toEqual(whole);
    expect((await run('publish', RECIPE)).answer.reasons).toEqual(['tiny 2 is current already']);
    writeFileSync(altered, bytes);
    expect((await run('list', 'tiny')).answer.moves).toHaveLength(2);
  });

  it('is told from a file', async () => {
    const { answer } = await run('list', '--registry', RECIPE_FILE);
    expect(answer.refused).toContain(`${RECIPE_FILE} is a file: name a folder`);
  });
});

describe('the command line', () => {
  const { root } = createRepository();
  it.each([
    [[], 'there are list, publish, rollback, export, import, calibrate'],
    [['promote'], 'promote: there are list, publish, rollback, export, import, calibrate'],
    [['publish'], 'publish which recipe, or which folder?'],
    [['rollback'], 'roll back which model?'],
    [['rollback', 'tiny'], 'nothing was ever published under this name'],
    [['list', 'tiny'], 'nothing was ever published as tiny in file://'],
    [['list', '--to', 'x'], '--to goes with rollback and export and calibrate, not with list'],
    [['rollback', 'tiny', '--check'], '--check goes with publish, not with rollback'],
    [['import'], 'import what?'],
    [['import', 'A Folder'], 'a folder is not a name for a model'],
    [['calibrate'], 'calibrate which model?'],
    [['calibrate', 'tiny'], 'calibrate on which images? --images names'],
    [['calibrate', 'tiny', '--images', '.'], '--model-version is missing'],
    [['import', 'x', '--model-version', ''], '--model-version is empty: give it a value'],
    [['calibrate', 'tiny', '--images', 'nowhere', '--model-version', '2'], '--images: there is no /'],
    [
      ['calibrate', 'tiny', '--images', '.', '--model-version', '2'],
      'tiny is neither a folder with a manifest.json nor a model',
    ],
    [['import', 'x', '--image-column', 'a'], '--image-column goes with calibrate, not with import'],
    [['import', 'x', '--images', '.'], '--images goes with calibrate, not with import'],
    [['export'], 'export which model?'],
    [['export', 'tiny'], '--format is missing: there are hf, onnx, open_clip, safetensors, sentence-transformers'],
    [['export', 'tiny', '--format', 'keras'], '--format keras: there are hf, onnx'],
    [['export', 'tiny', '--format', 'onnx'], 'tiny is neither a folder with a manifest.json nor a model in file://'],
    [['publish', 'tiny', '--format', 'onnx'], '--format goes with export, not with publish'],
    [['list', '--registry', 'ftp://x'], 'ftp://x is neither a file:// nor an s3:// URI'],
    [['list', '--colour'], 'Unknown option --colour'],
    [['list', '--on', 'aws'], 'deploy first'],
  ])('%j is refused with what to do', async (args, sentence) => {
    const { code, stderr } = await model(root, args);
    expect(stderr).toContain(sentence);
    expect(code).toBe(2);
  });
});
