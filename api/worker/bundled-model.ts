// The embedded model: files of api/model that travel inside the Worker's bundle.
import manifest from '../model/manifest.json';
import staticTable from '../model/static.table.bin';
import graph from '../model/text.onnx';
import table from '../model/text.table.bin';
import weights from '../model/text.weights.bin';
import vocabulary from '../model/vocabulary.txt';
import { ApiError } from './errors.ts';
import type { ModelSource } from './registry.ts';

const FILES: Record<string, ArrayBuffer | string> = {
  'text.onnx': graph,
  'text.weights.bin': weights,
  'text.table.bin': table,
  'static.table.bin': staticTable,
  'vocabulary.txt': vocabulary,
};

export const bundledModel: ModelSource = {
  manifest: async () => manifest,
  read: async ({ path }) => {
    const file = FILES[path];
    if (file === undefined) throw new ApiError('model_unavailable', `The bundle has no ${path}.`);
    return typeof file === 'string' ? new Uint8Array(new TextEncoder().encode(file)).buffer : file;
  },
};
