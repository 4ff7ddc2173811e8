// The image encoder as a child process of this one.
import { fileURLToPath } from 'node:url';
import { ENVARS } from '../../contracts/src/envars.ts';
import { toFileUri } from '../registry/stores/file-uri.ts';
import { type LocalProcess, startProcess } from './local-process.ts';

export interface EncoderOptions {
  model: string;
  /** Folder to follow; undefined: `model` is served permanently. */
  registry: string | undefined;
  /** Between two polls of it. */
  pollMs: number;
}

export function startEncoder({ model, registry, pollMs }: EncoderOptions): Promise<LocalProcess> {
  const following = registry === undefined ? [] : ['--registry', toFileUri(registry)];
  return startProcess({
    file: fileURLToPath(new URL('../encoder/hosts/server.ts', import.meta.url)),
    words: ['--model', model, ...following],
    env: { [ENVARS.registrySeconds]: String(pollMs / 1000) },
    name: 'the image encoder',
    consequence: 'Images answer encoder_unavailable until then.',
  });
}
