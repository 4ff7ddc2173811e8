// Folders and files of this machine that a stage's configuration names: their content is part of its address, a container fetches them.
import type { z } from 'zod';
import type { Backbone, LanguageModel } from './blocks.ts';

/**
 * `path` as the configuration has it, relative to `trainer/` or to the user's data; a file is as good. `at`: where the
 * configuration has it, after `prefix`; empty where the stage writes down the path, and looks up what is there. `sentence` names
 * field and folder.
 */
export interface LocalFolder {
  path: string;
  from: 'trainer' | 'data';
  at: readonly (string | number)[];
  prefix: string;
  sentence: string;
}

export function languageModelFolders(
  model: z.infer<typeof LanguageModel> | undefined,
  at: readonly (string | number)[] = ['language_model'],
): LocalFolder[] {
  if (model === undefined) return [];
  const { source, name, adapters = [] } = model;
  const folder = (path: string, key: (string | number)[], sentence: string): LocalFolder => ({
    path,
    from: 'trainer',
    at: [...at, ...key],
    prefix: '',
    sentence,
  });
  return [
    ...(source === 'directory' ? [folder(name, ['name'], `language_model is the folder ${name} of this machine`)] : []),
    ...adapters.map((path, index) =>
      folder(path, ['adapters', index], `language_model.adapters has the folder ${path} of this machine`),
    ),
  ];
}

/** Names of towers that end with a path: a folder in the layout of open_clip or timm, or a file of weights of an open_clip model. */
const WITH_PATH = /^((?:open_clip:)?local-dir:|open_clip:[^@]+@(?=.*\/))(.+)$/;

/** A two-tower checkpoint is a folder or a file by its open_clip name, or by its path. */
export function checkpointFolders(name: string, at: readonly (string | number)[]): LocalFolder[] {
  const [, prefix = '', path = name] = WITH_PATH.exec(name) ?? [];
  if (prefix === '' && name.startsWith('open_clip:')) return [];
  const sentence = `checkpoint is ${name}, a folder of this machine`;
  return [{ path, from: 'trainer', at: [...at], prefix, sentence }];
}

export function backboneFolders({ name }: z.infer<typeof Backbone>): LocalFolder[] {
  const [, prefix, path] = WITH_PATH.exec(name) ?? [];
  if (prefix === undefined || path === undefined) return [];
  const sentence = `backbone.name is ${name}, a folder of this machine`;
  return [{ path, from: 'trainer', at: [], prefix, sentence }];
}

export function adapterFiles(path: string | undefined): LocalFolder[] {
  if (path === undefined) return [];
  const sentence = `adapter_from is ${path}, of this machine`;
  return [{ path, from: 'trainer', at: ['adapter_from'], prefix: '', sentence }];
}

export function soupRuns(soup: readonly string[] = []): LocalFolder[] {
  return soup.map((path, index) => {
    const sentence = `clip.soup has the run ${path} of this machine`;
    return { path, from: 'trainer', at: ['soup', index], prefix: '', sentence };
  });
}
