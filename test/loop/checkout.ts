// A checkout that is deployed and trained: a recipe and its data, of our own stages or of small programs in their place.
import { execFile } from 'node:child_process';
import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { EMBEDDED_MODEL } from '../../api/dev/bundle.ts';
import { lastOf, ROOT, readDockerfile, replay } from '../containers/dockerfile.ts';
import { plantModel } from '../support/exported-model.ts';
import { trainerPython } from '../support/python.ts';
import { filesByPath, readModel } from '../support/registry.ts';
import { secondModel, twinImages, WORDS } from '../support/second-model.ts';
import { createRepository } from '../support/tiny-repository.ts';
import type { Sent } from './load.ts';

export interface Checkout {
  /** Commands run in it; `trainer` in it holds the stages. */
  root: string;
  /** Of the recipe. */
  name: string;
  /** What its stages see of the environment. */
  env: Record<string, string>;
  /** What the clients ask about. */
  sent: Sent;
  /** Puts new data among the recipe's. */
  arrive(): void;
  remove(): void;
}

/** Of the first training: its machine is reclaimed while it trains. */
export const STOPPED_STAGE = 'clip';

const SIDE = 64;
/** Of the recipe's data; a shard more is new data. */
const NEW_SHARD = { small: 'train-2.tar', trained: 'train-1.tar' } as const;
const DRAWN = join(import.meta.dirname, 'drawn_data.py');
const RECIPE = join(import.meta.dirname, 'recipe.json');
/** The Dockerfile's stage that copies sources. */
const SOURCE = 'source';

/** Stages are small programs without tensors: `export` hands over the embedded model and, of new data, a twin of it. */
export async function smallPrograms(): Promise<Checkout> {
  const first = await readModel(EMBEDDED_MODEL);
  const second = secondModel(first);
  const { dark } = await twinImages(first.manifest.image.preprocess.size);
  const { root } = createRepository((recipe) => {
    recipe.mntp.language_model = { source: 'gguf_package', name: 'tiny' };
  });
  plantModel(root, filesByPath(first));
  return {
    root,
    name: 'tiny',
    // It is to be stopped in its middle, and has none otherwise.
    env: { SLOW_STAGE: STOPPED_STAGE },
    sent: { texts: WORDS.map((word) => `a ${word}`), image: { image: dark }, fresh: `a ${WORDS[0]}` },
    arrive() {
      plantModel(root, filesByPath(second));
      writeFileSync(join(root, 'data', NEW_SHARD.small), 'what came this week');
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/**
 * The training image's own files, as its Dockerfile copies and stamps them, so that what a stage imports and the image lacks fails here.
 * Beside them the recipe, drawn pictures and a language model with random weights.
 */
export async function trainedStages(): Promise<Checkout> {
  const stages = readDockerfile('trainer/Dockerfile').filter(({ name }) => name === SOURCE);
  const folder = replay(stages);
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const [source] = stages;
    const root = join(folder, SOURCE, (source && lastOf(source, 'WORKDIR')?.text) ?? '');
    cpSync(join(ROOT, 'trainer/recipes/smoke.json'), join(root, 'trainer/recipes/smoke.json'));
    cpSync(RECIPE, join(root, 'trainer/recipes/loop.json'));
    await promisify(execFile)(await trainerPython(), [DRAWN, root]);
    const { bright } = await twinImages(SIDE);
    return {
      root,
      name: 'loop',
      env: {},
      sent: { texts: ['a red circle', 'a black line'], image: { image: bright }, fresh: 'a blue square' },
      arrive: () => renameSync(join(root, 'arriving', NEW_SHARD.trained), join(root, 'data', NEW_SHARD.trained)),
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}
