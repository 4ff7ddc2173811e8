// The embedded model: files of api/model that travel inside the Worker's bundle.

import { CoreError } from '../core/errors.ts';
import manifest from '../model/manifest.json';
import staticProjection from '../model/static.projection.bin';
import staticTable from '../model/static.table.bin';
import graph from '../model/text.onnx';
import partition from '../model/text.partition.bin';
import table from '../model/text.table.bin';
import weights from '../model/text.weights.bin';
import tinyGraph from '../model/tiny.onnx';
import tinyPartition from '../model/tiny.partition.bin';
import tinyTable from '../model/tiny.table.bin';
import tinyWeights from '../model/tiny.weights.bin';
import vocabulary from '../model/vocabulary.txt';
import { sha256 } from '../registry/digest.ts';
import type { ModelSource } from '../registry/read.ts';

const FILES: Record<string, ArrayBuffer | string> = {
  'text.onnx': graph,
  'text.partition.bin': partition,
  'text.weights.bin': weights,
  'text.table.bin': table,
  'tiny.onnx': tinyGraph,
  'tiny.partition.bin': tinyPartition,
  'tiny.weights.bin': tinyWeights,
  'tiny.table.bin': tinyTable,
  'static.table.bin': staticTable,
  'static.projection.bin': staticProjection,
  'vocabulary.txt': vocabulary,
};

export const bundledModel: ModelSource = {
  manifest: async () => JSON.parse(manifest),
  read: async ({ path }) => {
    const file = FILES[path];
    if (file === undefined) throw new CoreError('model_unavailable', `The bundle has no ${path}.`);
    return typeof file === 'string' ? bytesOf(file).buffer : file;
  },
  close() {
    // The modules keep naming their buffers; detached, these are empty.
    for (const file of Object.values(FILES)) if (typeof file !== 'string' && !file.detached) file.transfer();
  },
};

/** The manifest travels as text, so that this is the digest of the very file that a registry may hold. */
export const bundledDigest = (): Promise<string> => sha256(bytesOf(manifest));

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new TextEncoder().encode(text));
}
