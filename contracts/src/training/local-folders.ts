// Folders and files of this machine that a stage's configuration names: their content is part of its address, a container fetches them.
import type { z } from 'zod';
import type { Backbone, LanguageModel } from './blocks.ts';

/**
 * `path` as the configuration has it, alone or at the end of a name, relative to `trainer/` or to the user's data; a file is as
 * good. The stage looks it up (trainer/engine/folders/weights.py). `sentence` names field and folder.
 */
export interface LocalFolder {
  path: string;
  from: 'trainer' | 'data';
  sentence: string;
}

export function languageModelFolders(model: z.infer<typeof LanguageModel> | undefined): LocalFolder[] {
  if (model === undefined) return [];
  const { source, name, adapters = [] } = model;
  return [
    ...(source === 'directory' ? [ofTrainer(name, `language_model is the folder ${name} of this machine`)] : []),
    ...adapters.map((path) => ofTrainer(path, `language_model.adapters has the folder ${path} of this machine`)),
  ];
}

/** Names of towers that end with a path: a folder in the layout of open_clip or timm, or a file of weights of an open_clip model. */
const WITH_PATH = /^(?:(?:open_clip:)?local-dir:|open_clip:[^@]+@(?=.*\/))(.+)$/;

/** A two-tower checkpoint is a folder or a file by its open_clip name, or by its path. */
export function checkpointFolders(name: string): LocalFolder[] {
  const path = WITH_PATH.exec(name)?.[1] ?? (name.startsWith('open_clip:') ? undefined : name);
  return path === undefined ? [] : [ofTrainer(path, `checkpoint is ${name}, a folder of this machine`)];
}

export function backboneFolders({ name }: z.infer<typeof Backbone>): LocalFolder[] {
  const path = WITH_PATH.exec(name)?.[1];
  return path === undefined ? [] : [ofTrainer(path, `backbone.name is ${name}, a folder of this machine`)];
}

export function adapterFiles(path: string | undefined): LocalFolder[] {
  return path === undefined ? [] : [ofTrainer(path, `adapter_from is ${path}, of this machine`)];
}

export function soupRuns(soup: readonly string[] = []): LocalFolder[] {
  return soup.map((path) => ofTrainer(path, `clip.soup has the run ${path} of this machine`));
}

function ofTrainer(path: string, sentence: string): LocalFolder {
  return { path, from: 'trainer', sentence };
}
