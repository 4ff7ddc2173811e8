// The service of bulk jobs as a child process of this one, which runs their shards as processes of its own.
import { fileURLToPath } from 'node:url';
import { toFileUri } from '../registry/stores/file-uri.ts';
import { type LocalProcess, startProcess } from './local-process.ts';

const SERVICE = fileURLToPath(new URL('../bulk/hosts/service.ts', import.meta.url));

export interface JobsOptions {
  model: string;
  /** Jobs are for what is current there; undefined: for `model`. */
  registry: string | undefined;
  /** Folder of the jobs and of what comes of them. */
  folder: string;
  /** Folders and URIs that jobs may read from. */
  sources: string[];
}

export function startJobs({ model, registry, folder, sources }: JobsOptions): Promise<LocalProcess> {
  return startProcess({
    file: SERVICE,
    words: [
      folder,
      ...['--model', model],
      ...(registry === undefined ? [] : ['--registry', toFileUri(registry)]),
      ...sources.flatMap((source) => ['--source', source]),
    ],
    name: 'the service of bulk jobs',
    consequence: 'Its jobs go on then.',
  });
}
