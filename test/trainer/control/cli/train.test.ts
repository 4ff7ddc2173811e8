// `npm run train` from outside: a process on a small repository whose stages are real Python programs.
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { TINY_STAGES, tinyComparison, type WholeRecipe } from '../../../support/tiny-recipe.ts';
import { createRepository, startTrain, train } from '../../../support/tiny-repository.ts';

// Twelve Python processes a run: seconds on an idle machine, more beside a training.
vi.setConfig({ testTimeout: 120_000 });

const RECIPE = 'recipes/tiny.json';
/** Every stage once, compare too, and `clip` three times more for it. */
const JOBS = TINY_STAGES.length + 4;
const COMPARED = (recipe: WholeRecipe): void => void Object.assign(recipe, tinyComparison());

function events(stdout: string): { event: string; id?: string; [key: string]: unknown }[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

function ran(stdout: string): (string | undefined)[] {
  return events(stdout)
    .filter(({ event }) => event === 'running')
    .map(({ id }) => id);
}

describe('a run', () => {
  it('goes through all stages once; the second time everything is reused', async () => {
    const repository = createRepository(COMPARED);
    const first = await train(repository.root, [RECIPE]);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain(`0 finished, ${JOBS} to run: `);
    expect(first.stdout).toContain(`[${JOBS}/${JOBS}] compare`);
    expect(repository.steps('clip-control-2')).toEqual([0, 1, 2]);
    const [folder = ''] = repository.folders('mntp');
    expect(readFileSync(join(folder, 'log.txt'), 'utf8')).toContain('a stray line on standard output');
    expect(existsSync(join(folder, 'lock.json'))).toBe(false);

    const second = await train(repository.root, [RECIPE]);
    expect(second.code).toBe(0);
    expect(second.stdout).toContain(`${JOBS} finished, nothing to run`);
    expect(repository.steps('mntp')).toEqual([0, 1, 2]);
  });

  it('after an edit of the recipe or of the code runs what depends on it and nothing else', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE]);
    const text = readFileSync(repository.recipeFile, 'utf8');
    writeFileSync(repository.recipeFile, text.replace('"parity_samples":2', '"parity_samples":3'));
    expect(ran((await train(repository.root, [RECIPE, '--json'])).stdout)).toEqual(['export', 'evaluate']);
    appendFileSync(join(repository.root, 'trainer/stages/distill.py'), '\nlr = 1\n');
    expect(ran((await train(repository.root, [RECIPE, '--json'])).stdout)).toEqual(['distill', 'export', 'evaluate']);
    writeFileSync(join(repository.root, 'data/train-1.tar'), 'other');
    expect(ran((await train(repository.root, [RECIPE, '--json'])).stdout)).toEqual(
      TINY_STAGES.filter((stage) => stage !== 'mntp'),
    );
  });

  it('runs a stage again whose artefact was cut short, and says why', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE]);
    const [folder = ''] = repository.folders('inherit');
    truncateSync(join(folder, 'result.txt'), 1);
    const { stdout, code } = await train(repository.root, [RECIPE]);
    expect(code).toBe(0);
    expect(stdout).toContain('the earlier report was set aside: artefact result.txt has 1 bytes, not 7');
    expect(repository.steps('inherit')).toEqual([0, 1, 2, 0, 1, 2]);
    expect(repository.steps('clip')).toEqual([0, 1, 2]);
  });

  it('that was moved to another disk and linked is finished, for what reads it, too', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE, '--to', 'mntp']);
    const [folder = ''] = repository.folders('prepare');
    renameSync(folder, join(repository.root, 'elsewhere'));
    symlinkSync(join(repository.root, 'elsewhere'), folder);
    const { stdout } = await train(repository.root, [RECIPE, '--to', 'mntp', '--plan']);
    expect(stdout).toContain('2 finished, nothing to run');
    expect((await train(repository.root, [RECIPE, '--only', 'contrastive'])).code).toBe(0);
  });

  it('writes where --runs says, and finds the data where CLIP_DATA says', async () => {
    const repository = createRepository((recipe) => {
      recipe.data = '../../nowhere';
    });
    const refused = await train(repository.root, [RECIPE, '--to', 'prepare']);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('prepare.pairs[0].path: nothing matches train-*.tar in the data folder');
    const env = { CLIP_DATA: join(repository.root, 'data') };
    const { code } = await train(repository.root, [RECIPE, '--to', 'mntp', '--runs', 'elsewhere'], env);
    expect(code).toBe(0);
    expect(existsSync(join(repository.root, 'elsewhere/tiny'))).toBe(true);
    expect(existsSync(join(repository.root, 'runs/tiny'))).toBe(false);
  });
});

describe('side by side', () => {
  // Those that need neither: 400 steps of mntp last eight seconds.
  const slow = { SLOW_STAGE: 'mntp' };
  const order = (stdout: string, id: string): number[] =>
    ['running', 'succeeded'].map((event) => events(stdout).findIndex((one) => one.id === id && one.event === event));

  it('stages that do not need one another run at once, each with its share of the cores, others after what they need', async () => {
    const repository = createRepository();
    const { code, stdout } = await train(repository.root, [RECIPE, '--parallel', '2', '--json'], slow);
    expect(code).toBe(0);
    expect(new Set(ran(stdout))).toEqual(new Set(TINY_STAGES));
    const [begun = -1, done = -1] = order(stdout, 'mntp');
    const [other = -1, otherDone = -1] = order(stdout, 'embed_images');
    expect(other).toBeGreaterThan(begun);
    expect(otherDone).toBeLessThan(done);
    expect(order(stdout, 'contrastive')[0]).toBeGreaterThan(done);
    const threads = Math.max(1, Math.floor(availableParallelism() / 2));
    const [folder = ''] = repository.folders('clip');
    expect(readFileSync(join(folder, 'threads.txt'), 'utf8')).toBe(`${threads}`);
    expect(ran((await train(repository.root, [RECIPE, '--parallel', '2', '--json'])).stdout)).toEqual([]);
  });

  it('after a failure what runs comes to its end, nothing is begun, and the same command goes on', async () => {
    const repository = createRepository();
    const args = [RECIPE, '--parallel', '2', '--json'];
    const { code, stdout } = await train(repository.root, args, { ...slow, FAIL_STAGE: 'embed_images' });
    expect(code).toBe(1);
    expect(ran(stdout)).not.toContain('contrastive');
    expect(events(stdout).find(({ event }) => event === 'finishing')).toMatchObject({ ids: ['mntp'] });
    expect(order(stdout, 'mntp')[1]).toBeGreaterThan(0);
    const again = await train(repository.root, args);
    expect(again.code).toBe(0);
    expect(ran(again.stdout)).toContain('embed_images');
    expect(ran(again.stdout)).not.toContain('mntp');
  });

  it('a stage that cannot be begun is told of at once, and not when the others end', async () => {
    const repository = createRepository();
    const first = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], slow);
    await first.prints('"step":5,');
    const args = [RECIPE, '--parallel', '2', '--json'];
    const second = startTrain(repository.root, args, { SLOW_STAGE: 'embed_images' });
    const { code, stdout } = await second.ended;
    expect(code).toBe(1);
    const told = events(stdout).findIndex(({ event }) => event === 'refused');
    expect(events(stdout)[told]?.message).toMatch(/^mntp: .* is in use: another runner/);
    expect(told).toBeLessThan(order(stdout, 'embed_images')[1] ?? 0);
    await first.ended;
  });

  it('one Ctrl-C saves all that run', async () => {
    const repository = createRepository();
    const args = [RECIPE, '--parallel', '2', '--json'];
    const command = startTrain(repository.root, args, { SLOW_STAGE: 'mntp,embed_images' });
    await command.prints('"event":"progress","id":"mntp"');
    await command.prints('"event":"progress","id":"embed_images"');
    command.process.kill('SIGINT');
    const { code, stdout } = await command.ended;
    expect(code).toBe(75);
    const saved = events(stdout).filter(({ event }) => event === 'interrupted');
    expect(new Set(saved.map(({ id }) => id))).toEqual(new Set(['mntp', 'embed_images']));
    for (const { message } of saved) expect(message).toContain('stopped, its work is saved');
  });
});

describe('an interruption', () => {
  const slow = { SLOW_STAGE: 'mntp' };

  it('by one Ctrl-C, which npm doubles, saves a checkpoint; the same command goes on from it', async () => {
    const repository = createRepository();
    const command = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], slow);
    await command.prints('"step":5,');
    command.process.kill('SIGINT');
    command.process.kill('SIGINT');
    const { code, stdout } = await command.ended;
    expect(code).toBe(75);
    expect(events(stdout).at(-1)).toMatchObject({
      event: 'interrupted',
      message: 'mntp stopped, its work is saved: run the same command again to resume',
    });
    expect(events(stdout).filter(({ event }) => event === 'stopping')).toHaveLength(1);
    const done = repository.steps('mntp');
    expect(done.length).toBeLessThan(400);

    const again = await train(repository.root, [RECIPE, '--to', 'mntp'], {});
    expect(again.code).toBe(0);
    // Not slow any more: the stage has 3 steps, all done before, so that none is repeated.
    expect(repository.steps('mntp')).toEqual(done);
  });

  it('in the middle resumes at the next step', async () => {
    const repository = createRepository();
    const command = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], slow);
    await command.prints('"step":5,');
    command.process.kill('SIGTERM');
    expect((await command.ended).code).toBe(75);
    const second = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], slow);
    await second.prints('"step":20,');
    second.process.kill('SIGINT');
    await second.ended;
    const steps = repository.steps('mntp');
    expect(steps).toEqual(steps.map((_, index) => index));
  });

  it('by a second Ctrl-C kills a stage that does not answer, and the next command starts cleanly', async () => {
    const repository = createRepository();
    const command = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], { ...slow, DEAF: '1' });
    await command.prints('"step":5,');
    command.process.kill('SIGINT');
    await command.prints('"event":"stopping"');
    await new Promise((resolve) => setTimeout(resolve, 1200));
    command.process.kill('SIGINT');
    const { code, stdout } = await command.ended;
    expect(code).toBe(75);
    expect(events(stdout).at(-1)?.message).toContain('since its last checkpoint is lost');
    expect((await train(repository.root, [RECIPE, '--to', 'mntp'])).code).toBe(0);
  });

  it('comes by itself when a later stage was edited meanwhile: nothing is stored under the address of other code', async () => {
    const repository = createRepository();
    const command = startTrain(repository.root, [RECIPE, '--to', 'contrastive', '--json'], { SLOW_STAGE: 'mntp' });
    await command.prints('"step":2,');
    appendFileSync(join(repository.root, 'trainer/stages/contrastive.py'), '\nlr = 1\n');
    const { code, stdout } = await command.ended;
    expect(code).toBe(75);
    expect(events(stdout).at(-1)?.message).toContain('the source of contrastive was edited after this command planned');
    expect(ran((await train(repository.root, [RECIPE, '--to', 'contrastive', '--json'])).stdout)).toEqual([
      'contrastive',
    ]);
  });

  it('does not let a second command into the folder of a running one', async () => {
    const repository = createRepository();
    const command = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json'], slow);
    await command.prints('"step":2,');
    const other = await train(repository.root, [RECIPE, '--to', 'mntp']);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain(`another runner (process ${command.process.pid}) is at work there`);
    command.process.kill('SIGINT');
    expect((await command.ended).code).toBe(75);
  });
});

describe('a failure', () => {
  it('shows the end of the log, where the rest is and what to do; the fixed stage runs, finished ones do not', async () => {
    const repository = createRepository();
    const { code, stdout } = await train(repository.root, [RECIPE], { FAIL_STAGE: 'contrastive' });
    expect(code).toBe(1);
    const [folder = ''] = repository.folders('contrastive');
    expect(stdout).toContain('  | the loss is not finite at step 1');
    expect(stdout).toContain('contrastive failed: exit 3; the lines above say why.');
    expect(stdout).toContain(`The whole log: ${join(folder, 'log.txt')}`);
    expect(stdout).toContain('fix the cause and run the same command again');
    const again = await train(repository.root, [RECIPE, '--to', 'contrastive', '--json']);
    expect(again.code).toBe(0);
    expect(ran(again.stdout)).toEqual(['contrastive']);
  });

  it('is also a report that breaks the contract', async () => {
    const repository = createRepository();
    const { code, stdout } = await train(repository.root, [RECIPE], { BAD_REPORT: 'mntp' });
    expect(code).toBe(1);
    expect(stdout).toMatch(/mntp failed: exit 0, but report.json: device .*expected string/);
    expect((await train(repository.root, [RECIPE, '--to', 'mntp'])).code).toBe(0);
  });

  it('of the disk is an event of --json', async () => {
    const repository = createRepository();
    writeFileSync(join(repository.root, 'a-file'), '');
    const { code, stdout } = await train(repository.root, [RECIPE, '--runs', 'a-file', '--json']);
    expect(code).toBe(1);
    expect(events(stdout).at(-1)).toEqual({
      event: 'refused',
      message: `${join(repository.root, 'a-file')}: a file is where a folder is needed (EEXIST)`,
    });
  });

  it('names an interpreter that cannot be started', async () => {
    const repository = createRepository();
    const { code, stdout } = await train(repository.root, [RECIPE], { TRAINER_PYTHON: './no/python' });
    expect(code).toBe(1);
    expect(stdout).toContain(`cannot start ${join(repository.root, 'no/python')}`);
  });
});

describe('the plan', () => {
  it('shows what is finished and what the rest takes, and runs nothing', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE, '--to', 'mntp']);
    const text = readFileSync(repository.recipeFile, 'utf8');
    // Twice the batch: twice the minute that the stage's report says it took.
    writeFileSync(
      repository.recipeFile,
      text.replace('"max_tokens":8,"batch_size":2', '"max_tokens":8,"batch_size":4'),
    );
    const { code, stdout } = await train(repository.root, [RECIPE, '--plan']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/ {2}prepare +finished {2}took 1 min, prepare-[0-9a-f]{12}\n/);
    expect(stdout).toMatch(/ {2}mntp +to run {4}about 2 min, mntp-[0-9a-f]{12}\n/);
    expect(stdout).toMatch(/ {2}contrastive +to run {4}no earlier run to estimate from/);
    // Of the students' stages a closed form says it; the tower and the language model are nobody's.
    expect(stdout).toMatch(/ {2}distill +to run {4}about 0 s by arithmetic, distill-[0-9a-f]{12}\n/);
    const unknown = stdout.match(/no earlier run to estimate from/g)?.length ?? 0;
    expect(stdout).toMatch(
      new RegExp(`1 finished, ${TINY_STAGES.length - 1} to run: about \\d min, ${unknown} of unknown length`),
    );
    expect(repository.folders('contrastive')).toEqual([]);
    expect(repository.folders('mntp')).toHaveLength(1);
  });

  it('takes no time from a run on a GPU for a machine without one', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE, '--to', 'mntp']);
    const [folder = ''] = repository.folders('mntp');
    const report = JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8'));
    writeFileSync(join(folder, 'report.json'), JSON.stringify({ ...report, device: 'cuda:0' }));
    appendFileSync(join(repository.root, 'trainer/stages/mntp.py'), '\nlr = 1\n');
    const { stdout } = await train(repository.root, [RECIPE, '--plan'], { CUDA_VISIBLE_DEVICES: '' });
    expect(stdout).toMatch(/ {2}mntp +to run {4}no earlier run to estimate from/);
  });

  it('of --parallel is that of stages side by side, and says what it supposes', async () => {
    const repository = createRepository();
    await train(repository.root, [RECIPE, '--to', 'contrastive']);
    await train(repository.root, [RECIPE, '--only', 'embed_images']);
    // Everything again, of which every stage says that it took a minute.
    appendFileSync(join(repository.root, 'trainer/towers/work.py'), '\nlr = 1\n');
    const plan = async (...args: string[]) =>
      (await train(repository.root, [RECIPE, '--plan', ...args], { OMP_NUM_THREADS: '1', CUDA_VISIBLE_DEVICES: '' }))
        .stdout;
    expect(await plan('--to', 'clip')).toMatch(/ to run: about 4 min, 3 of unknown length\n$/);
    // The images beside the teacher, which all the others wait for.
    expect(await plan('--to', 'clip', '--parallel', '2')).toMatch(
      / to run: about 3 min, 2 at a time, 3 of unknown length\nThe time of each stage is that by itself/,
    );
  });

  it('takes the time of stages that ran side by side, or were resumed by themselves, for what it is', async () => {
    const repository = createRepository();
    // Each stage says that it took a minute, whatever its share of the cores.
    const env = { OMP_NUM_THREADS: `${availableParallelism()}`, CUDA_VISIBLE_DEVICES: '' };
    const beside = ['--parallel', '2'];
    const first = startTrain(repository.root, [RECIPE, '--to', 'mntp', '--json', ...beside], {
      ...env,
      SLOW_STAGE: 'mntp',
    });
    await first.prints('"step":5,');
    first.process.kill('SIGTERM');
    await first.ended;
    expect((await train(repository.root, [RECIPE, '--to', 'mntp'], env)).code).toBe(0);
    appendFileSync(join(repository.root, 'trainer/towers/work.py'), '\nlr = 1\n');
    const plan = async (...words: string[]) => (await train(repository.root, [RECIPE, '--plan', ...words], env)).stdout;
    const alone = await plan('--to', 'mntp');
    expect(alone).toMatch(/ {2}prepare +to run {4}about 30 s/);
    expect(alone).toMatch(/ {2}mntp +to run {4}no earlier run to estimate from/);
    // As measured: a minute with half of the cores.
    expect(await plan('--to', 'prepare', ...beside)).toMatch(/ to run: about (60 s|1 min), 2 at a time\n/);
  });

  it('of --json is one event with addresses, states and estimates', async () => {
    const repository = createRepository();
    const { stdout } = await train(repository.root, [RECIPE, '--plan', '--json', '--to', 'mntp']);
    const [plan] = events(stdout).filter(({ event }) => event === 'plan');
    expect(plan).toMatchObject({
      recipe: 'tiny',
      stages: [
        { id: 'prepare', stage: 'prepare', status: 'queued', seconds: null, estimated_seconds: null },
        { id: 'mntp', stage: 'mntp', status: 'queued', address: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) },
      ],
    });
  });
});

it('--ablate runs variants and the recipe up to their comparison, reuses what is there and prints the table', async () => {
  const { root, steps } = createRepository(COMPARED);
  expect(ran((await train(root, [RECIPE, '--to', 'clip', '--json'])).stdout)).toHaveLength(7);
  const first = await train(root, [RECIPE, '--ablate', 'control', '--seeds', '1,5', '--json']);
  expect(ran(first.stdout)).toEqual(['clip-control-1', 'clip-base-5', 'clip-control-5', 'compare']);
  const table = { event: 'comparison', table: '| clip | loss |\n', comparison: { at: 'clip' } };
  expect(events(first.stdout).at(-1)).toEqual(table);
  expect(steps('clip')).toEqual([0, 1, 2]);
  // The second time there is nothing to run; the table is printed again.
  const again = await train(root, [RECIPE, '--ablate', 'control', '--seeds', '1,5', '--json']);
  expect(ran(again.stdout)).toEqual([]);
  expect(events(again.stdout).at(-1)).toEqual(table);
});

it('--ablate refuses a seed that is named twice', async () => {
  const { root } = createRepository(COMPARED);
  const { code, stderr } = await train(root, [RECIPE, '--ablate', 'control', '--seeds', '1,2,1', '--plan']);
  expect(code).toBe(2);
  expect(stderr).toContain('compare.seeds names one twice, which says nothing of chance: 1, 2, 1');
});

describe('what only a variant names', () => {
  const texts = (path: string) => ({
    prepare: { texts: [{ split: 'train' as const, kind: 'plain' as const, path }] },
  });
  const compared = (variant: object) =>
    createRepository((recipe) => {
      Object.assign(recipe, tinyComparison(), { variants: { other: variant } });
      if (recipe.compare !== undefined) recipe.compare.variants = ['other'];
    });
  const args = [RECIPE, '--ablate', 'other', '--seeds', '1', '--json'];

  it('counts by content: another file of texts runs the variant again, and not the recipe', async () => {
    const { root } = compared(texts('mine.jsonl'));
    writeFileSync(join(root, 'data/mine.jsonl'), 'one');
    expect(ran((await train(root, args)).stdout)).toContain('clip');
    expect(ran((await train(root, args)).stdout)).toEqual([]);
    writeFileSync(join(root, 'data/mine.jsonl'), 'two');
    const again = ran((await train(root, args)).stdout);
    expect(again).toContain('prepare-other-1');
    expect(again).not.toContain('prepare');
    expect(again).not.toContain('clip');
  });

  it('counts by content: other weights in its folder', async () => {
    const { root } = compared({ mntp: { language_model: { source: 'directory', name: 'mine' } } });
    mkdirSync(join(root, 'trainer/mine'));
    writeFileSync(join(root, 'trainer/mine/config.json'), '{}');
    expect(ran((await train(root, args)).stdout)).toContain('mntp-other-1');
    writeFileSync(join(root, 'trainer/mine/config.json'), '{"layers": 2}');
    const again = ran((await train(root, args)).stdout);
    expect(again).toContain('mntp-other-1');
    expect(again).not.toContain('mntp');
  });

  it.each([
    [texts('mine.jsonl'), /variants\.other\.prepare\.texts\[0\]\.path: nothing matches mine\.jsonl/],
    [
      { mntp: { language_model: { source: 'directory', name: 'mine' } } },
      /variants\.other\.mntp\..*there is no folder .*mine/,
    ],
  ])('has to be there: %j', async (variant, message) => {
    const { code, stdout } = await train(compared(variant).root, [...args, '--plan']);
    expect(code).toBe(2);
    expect(events(stdout).at(-1)?.message).toMatch(message);
  });
});

it('recipes of one’s own in recipes/ hide none of those that have names, and extend one another by name', async () => {
  const { root } = createRepository();
  mkdirSync(join(root, 'recipes'));
  const write = (name: string, document: object): void =>
    writeFileSync(join(root, `recipes/${name}.json`), JSON.stringify({ description: 'mine', name, ...document }));
  write('mine', { extends: 'tiny', seed: 5 });
  write('again', { extends: 'mine', embed_captions: { max_tokens: 9 } });
  const { code, stdout } = await train(root, ['recipes/again.json', '--show']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ name: 'again', seed: 5, embed_captions: { max_tokens: 9 } });
  const { stderr } = await train(root, ['recipes/none.json']);
  expect(stderr).toContain('There are: recipes/again.json, recipes/mine.json, recipes/tiny.json');
});

it('names weights that Git LFS has not fetched', async () => {
  const { root } = createRepository();
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n';
  writeFileSync(join(root, 'trainer/tiny/model.safetensors'), pointer);
  const { code, stdout } = await train(root, [RECIPE, '--plan', '--json']);
  expect(code).toBe(2);
  expect(events(stdout).at(-1)?.message).toMatch(/model\.safetensors is a pointer of Git LFS: 'git lfs pull'/);
});

it('--show prints the recipe with all that it extends, which is a recipe again', async () => {
  const { root } = createRepository();
  const short = { extends: 'tiny', name: 'short', description: 'one step', mntp: { schedule: { steps: 1 } } };
  writeFileSync(join(root, 'trainer/recipes/short.json'), JSON.stringify(short));
  const { code, stdout } = await train(root, ['recipes/short.json', '--show']);
  expect(code).toBe(0);
  const shown = JSON.parse(stdout);
  expect(shown).toMatchObject({ name: 'short', data: join(root, 'data'), mntp: { schedule: { steps: 1, lr: 0.001 } } });
  writeFileSync(join(root, 'whole.json'), stdout);
  const [again] = events((await train(root, [join(root, 'whole.json'), '--show', '--json'])).stdout);
  expect(again).toEqual({ event: 'recipe', recipe: shown });
});

describe('the command line', () => {
  const { root } = createRepository();

  it.each<[string[], number, RegExp]>([
    [[], 2, /^Which recipe\?/],
    [[RECIPE, '--fast'], 2, /Unknown option --fast/],
    [[RECIPE, 'recipes/other.json'], 2, /one recipe at a time/],
    [['recipes/none.json'], 2, /there is no recipe recipes\/none\.json .*\nThere are: recipes\/tiny\.json/],
    [[RECIPE, '--to', 'training'], 2, /no stage training in this recipe; it has prepare, mntp, contrastive/],
    [[RECIPE, '--only', 'mntp'], 2, /mntp needs prepare, not finished yet: use --to mntp/],
    [[RECIPE, '--only', 'mntp', '--to', 'clip'], 2, /exclude each other/],
    [[RECIPE, '--plan', '--install', '--to', 'prepare'], 2, /--plan runs nothing/],
    [[RECIPE, '--show', '--plan'], 2, /nothing else goes with it/],
    [[RECIPE, '--ablate', 'rows'], 2, /recipe tiny has no variant rows; it has none/],
    [[RECIPE, '--parallel', '0'], 2, /--parallel 0/],
    [[RECIPE, '--parallel', '2', '--on', 'aws'], 2, /AWS Batch runs jobs side by side/],
    [[RECIPE, '--at', 'evaluate'], 2, /go with --ablate/],
    [[RECIPE, '--ablate', 'all', '--to', 'clip'], 2, /--ablate runs up to its comparison/],
    [[RECIPE, '--ablate', 'all', '--seeds', '1,two'], 2, /--seeds 1,two: whole numbers from 0/],
    [[RECIPE, '--ablate', 'all', '--metrics', ','], 2, /--metrics ,: one name at least/],
    [[RECIPE, '--ablate', ','], 2, /--ablate ,: one name at least/],
    [[RECIPE, '--seeds', '1'], 2, /--seeds, --at and --metrics go with --ablate/],
  ])('refuses %j', async (args, code, message) => {
    const result = await train(root, args);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
  });

  it('explains itself', async () => {
    const { code, stdout } = await train(root, ['--help']);
    expect(code).toBe(0);
    for (const word of ['--plan', '--to', '--only', '--runs', '--install', '--json', 'CLIP_DATA', 'TRAINER_PYTHON']) {
      expect(stdout).toContain(word);
    }
  });

  it('tells of a missing stage before anything runs', async () => {
    const repository = createRepository();
    rmSync(join(repository.root, 'trainer/stages/clip.py'));
    const { code, stderr } = await train(repository.root, [RECIPE]);
    expect(code).toBe(2);
    expect(stderr).toContain('trainer/stages/clip.py does not exist: this checkout cannot run clip');
    expect(existsSync(join(repository.root, 'runs/tiny'))).toBe(false);
  });
});
