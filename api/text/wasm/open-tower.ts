// A text tower's weights on their way into linear memory: from its graph, of which they are packed, or from a file of packed weights,
// which is an image of that memory. The image begins at address 0: what the module reserves there is the file's header.
import type { Artefact } from '../../../contracts/src/model/artefact.ts';
import type { OnnxGraph, TextTower } from '../../../contracts/src/model/manifest.ts';
import { CoreError } from '../../core/errors.ts';
import type { ReadArtefact } from '../engine.ts';
import { CLIP } from './clip-graph.ts';
import { RESERVED } from './kernels.ts';
import { type OnnxFile, readOnnx } from './onnx-file.ts';
import { STUDENT } from './student-graph.ts';
import { readGraph, type TowerShape } from './text-graph.ts';
import { placesOf, planTower, type TowerMemory } from './tower-memory.ts';
import { loadWeights } from './weights.ts';

/**
 * How addresses follow from the sizes of a tower, and in which order `pack` writes a matrix. Another number for every change of
 * either: files of the one before are then left alone, and their graphs packed where they are opened.
 */
export const LAYOUT = 3;

const FORMAT = 'edge-clip packed weights';

/** One line of JSON, with spaces up to the first weight. */
interface Header {
  format: typeof FORMAT;
  layout: number;
  shape: TowerShape;
}

/** A tower whose weights are in memory, and whose matrices are packed. */
interface PackedTower {
  shape: TowerShape;
  memory: TowerMemory;
}
type Opening = { load(): Promise<PackedTower> } | { other: string };

/**
 * From the packed file where the tower has one of this layout, else from its graph; `other`, with a reason to print: this engine does
 * not run it. `load` reads the weights and makes the tower ready.
 */
export async function openTower(
  { engine, packed, graph }: TextTower,
  read: ReadArtefact,
  module: WebAssembly.Module,
): Promise<Opening> {
  if (engine === 'onnxruntime') return { other: 'its manifest says that it is for onnxruntime-web' };
  const opening =
    packed?.layout === LAYOUT
      ? { load: () => loadPacked(packed.file, read, module) }
      : await openGraph(graph, read, module);
  if ('other' in opening) return opening;
  return {
    async load() {
      const tower = await opening.load();
      const { kernels, matrices, products, floats, workspace } = tower.memory;
      for (const { at, depth, columns } of matrices) kernels.arrange(at, depth, columns);
      for (const { at, depth, columns } of products) {
        floats.copyWithin(workspace.x / 4, at / 4, at / 4 + depth * columns);
        kernels.divide(workspace.x, depth, columns, at);
      }
      return tower;
    },
  };
}

async function openGraph(
  { file, weights }: OnnxGraph,
  read: ReadArtefact,
  module: WebAssembly.Module,
): Promise<Opening> {
  const graph = readOnnx(new Uint8Array(await read(file)));
  const shape = readGraph(graph, kindOf(graph));
  if ('other' in shape) return shape;
  return {
    async load() {
      const memory = planTower(shape, module);
      await loadWeights(placesOf(memory, graph), { of: weights?.file, read, into: memory.floats.buffer });
      return { shape, memory };
    },
  };
}

/** The kind that a graph is compared with: a student knows the mask of its texts. */
const kindOf = ({ nodes }: OnnxFile) =>
  nodes.some(({ inputs }) => inputs.includes('attention_mask')) ? STUDENT : CLIP;

/** Copies the image to where it was taken, as it comes. Throws where it is none of this tower's size. */
async function loadPacked(file: Artefact, read: ReadArtefact, module: WebAssembly.Module): Promise<PackedTower> {
  const header = new Uint8Array(RESERVED);
  let opened: PackedTower | undefined;
  let position = 0;
  for await (const chunk of read.chunks?.(file) ?? wholeOf(file, read)) {
    if (position < RESERVED) header.set(chunk.subarray(0, RESERVED - position), position);
    const start = Math.max(position, RESERVED);
    const end = position + chunk.length;
    if (end >= RESERVED) {
      opened ??= planPacked(header, file, module);
      new Uint8Array(opened.memory.floats.buffer).set(chunk.subarray(start - position), start);
    }
    position = end;
  }
  if (!opened || position !== file.size) throw unusable(file, `it ends after ${position} bytes`);
  return opened;
}

function planPacked(bytes: Uint8Array, file: Artefact, module: WebAssembly.Module): PackedTower {
  const { format, layout, shape } = headerOf(bytes, file);
  if (format !== FORMAT || layout !== LAYOUT) throw unusable(file, `its header is not that of layout ${LAYOUT}`);
  const memory = planTower(shape, module);
  if (memory.weightsEnd !== file.size)
    throw unusable(file, `it has ${file.size} bytes, and weights of its sizes have ${memory.weightsEnd}`);
  return { shape, memory };
}

function headerOf(bytes: Uint8Array, file: Artefact): Header {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw unusable(file, 'it has no header');
  }
}

const unusable = ({ path }: Artefact, reason: string): CoreError =>
  new CoreError('model_unavailable', `The packed weights ${path} cannot be used: ${reason}.`);

/** As one chunk, whose copy is freed before anything is collected. */
async function* wholeOf(file: Artefact, read: ReadArtefact): AsyncGenerator<Uint8Array> {
  const bytes = await read(file);
  yield new Uint8Array(bytes);
  bytes.transfer();
}

/** The file of packed weights that `openTower` takes in the place of this graph; `other`: there can be none. */
export async function packTower(
  tower: Pick<TextTower, 'graph'>,
  read: ReadArtefact,
  module: WebAssembly.Module,
): Promise<Uint8Array<ArrayBuffer> | { other: string }> {
  const opening = await openGraph(tower.graph, read, module);
  if ('other' in opening) return opening;
  const { shape, memory } = await opening.load();
  const header = new TextEncoder().encode(JSON.stringify({ format: FORMAT, layout: LAYOUT, shape } satisfies Header));
  const file = new Uint8Array(memory.floats.buffer.slice(0, memory.weightsEnd) as ArrayBuffer);
  file.fill(SPACE, 0, RESERVED);
  file.set(header);
  file[RESERVED - 1] = NEWLINE;
  return file;
}
const [SPACE, NEWLINE] = [0x20, 0x0a];
