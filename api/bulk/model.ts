// A model for work that no client waits for: texts and images through the core that answers requests, with its limits.
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { ModelManifest } from '../../contracts/src/model/manifest.ts';
import {
  attemptItems,
  type Embedded,
  type EmbedInput,
  type EmbedOutput,
  type EncodedFile,
  embed,
} from '../core/embed.ts';
import { CoreError } from '../core/errors.ts';
import type { PlacedItem } from '../core/items/items.ts';
import { chooseModel, type Model, quantisationOf } from '../core/model.ts';
import { cutAndNormalise, type Quantisation } from '../core/vectors/vectors.ts';
import { createGate } from '../encoder/encode.ts';
import { type DecodedPicture, decode, type Picture } from '../encoder/pixels/decode.ts';
import { createPreprocess, type Prepared } from '../encoder/pixels/preprocess.ts';
import { openSession, type Provider, readManifest } from '../encoder/session.ts';
import { once } from '../text/once.ts';
import { type OpenModelOptions, openModel } from '../text/open-model.ts';
import { createWasmEngine } from '../text/wasm/engine.ts';
import { LIMITS } from './service/ask.ts';

export interface BulkEncoder {
  manifest: ModelManifest;
  quantisation: Quantisation;
  /** In the order of the items: vectors at unit length, or what was wrong with the item. Throws on what is not its fault. */
  embed(items: PlacedItem[], chosen: { id: string; dimensions: number }): Promise<(Embedded | CoreError)[]>;
  /** Pictures of no file, such as frames of a video, one after the other: vectors at unit length and of full length. Each is read before the next. */
  embedPictures(pictures: AsyncIterable<Picture>): AsyncGenerator<Float32Array>;
  /** One request of others' forms; throws a CoreError where it is refused. */
  answer(asked: EmbedInput): Promise<EmbedOutput>;
  /** Whether an error is the machine's and not an item's: a rerun must try again. */
  isOurs(error: CoreError): boolean;
  close(): Promise<void>;
}

export interface BulkEncoderOptions {
  /** Folder with manifest.json and what it names. */
  folder: string;
  /** File of the text engine's module. */
  textModule: string | URL;
  /** Cores that one run of the image tower may use, and images that are decoded at a time (default all). */
  threads?: number | undefined;
  /** What runs the image tower (default the processors). */
  provider?: Provider | undefined;
  /** Reads the pixels of an image file (default that of requests). */
  decode?: typeof decode;
}

/** Codes of errors that are the machine's and not the file's, so that a rerun must try again. `encoder_timeout` is not: decoding was tried twice. */
const OURS = ['encoder_error', 'encoder_unavailable', 'internal_error', 'model_unavailable'];

export async function openBulkEncoder(options: BulkEncoderOptions): Promise<BulkEncoder> {
  const { folder, threads = availableParallelism(), provider = 'cpu' } = options;
  const manifest = await readManifest(folder);
  const session = await openSession(folder, manifest, { threads, provider });
  const model = await openTexts(folder, manifest, options.textModule);
  const tower = { run: session.run, places: threads, decode: options.decode ?? decode, batch: session.batch };
  const { encodeFiles, encodePictures } = createImages(manifest, tower);
  const engines = {
    images: encodeFiles,
    admit: <T>(_work: unknown, run: () => Promise<T>) => run(),
  };
  return {
    manifest,
    quantisation: quantisationOf(model),
    async embed(items, { id, dimensions }) {
      const { tier } = chooseModel(model, id);
      const asked = { tier, dimensions, truncate: 'end', onError: 'partial' } as const;
      const { outcomes } = await attemptItems({ model, engines }, items, asked);
      const ours = outcomes.find((outcome) => outcome instanceof CoreError && isOurs(outcome));
      if (ours) throw ours;
      return outcomes;
    },
    embedPictures: encodePictures,
    answer: (asked) => embed(model, engines, asked),
    isOurs,
    async close() {
      await Promise.all([session.close(), model.close()]);
    },
  };
}

function isOurs({ code }: CoreError): boolean {
  return OURS.includes(code);
}

/** The text side of the model, of which nothing is read before the first text. */
async function openTexts(folder: string, manifest: ModelManifest, module: string | URL): Promise<Model> {
  const source = {
    manifest: async () => manifest,
    async read({ path }: { path: string }) {
      return Uint8Array.from(await readFile(join(folder, path))).buffer;
    },
  };
  const compiled = once(async () => createWasmEngine({ module: new WebAssembly.Module(await readFile(module)) }));
  const engine: OpenModelOptions['engine'] = {
    open: async (...tower) => (await compiled()).open(...tower),
    openSums: async (...tier) => (await compiled()).openSums?.(...tier),
  };
  return openModel(source, { engine, once, limits: LIMITS });
}

interface Read extends Pick<DecodedPicture, 'original' | 'warnings'> {
  prepared: Prepared;
}
interface Tower {
  run(batch: Prepared[]): Promise<Float32Array[]>;
  /** Images that are decoded at a time. */
  places: number;
  /** Images in one run. */
  batch: number;
  decode: (file: Uint8Array) => Promise<DecodedPicture>;
}

const isLate = (picture: Read | CoreError | undefined): boolean =>
  picture instanceof CoreError && picture.code === 'encoder_timeout';

/** Files of a call are decoded beside each other, and beside the runs of the call before. */
function createImages(manifest: ModelManifest, { run, places, decode, batch }: Tower) {
  const preprocess = createPreprocess(manifest.image.preprocess);
  // A decoded photo takes up to 64 MB: of all calls together only `places` are held.
  const decoding = createGate(places);
  // Half a megabyte an image, taken again when its run is over: what waits to be collected would otherwise be most of the memory.
  const spare: ArrayBufferLike[] = [];
  const read = (file: Uint8Array): Promise<Read | CoreError> =>
    decoding(async () => {
      try {
        const { original, warnings, ...picture } = await decode(file);
        return { original, warnings, prepared: preprocess.toTensor(picture, spare.pop()) };
      } catch (error) {
        if (error instanceof CoreError) return error;
        throw error;
      }
    });
  /** Unit vectors of at most `batch` pictures, whose memory is spare then. */
  const runBatch = async (some: Prepared[]): Promise<Float32Array[]> => {
    const outputs = await run(some);
    spare.push(...some.map(({ tensor }) => tensor.buffer));
    return some.map((_, index) => cutAndNormalise(outputs[index] ?? [], manifest.embed_dim));
  };

  async function encodeFiles(files: Uint8Array[]): Promise<(EncodedFile | CoreError)[]> {
    const pictures = await Promise.all(files.map(read));
    // What took too long beside others is read once more, one after the other. Runs of the graph are then those that they would have been.
    for (const [at, file] of files.entries()) if (isLate(pictures[at])) pictures[at] = await read(file);
    const good = pictures.flatMap((picture) => (picture instanceof CoreError ? [] : [picture]));
    const vectors: Float32Array[] = [];
    for (let at = 0; at < good.length; at += batch) {
      vectors.push(...(await runBatch(good.slice(at, at + batch).map(({ prepared }) => prepared))));
    }
    const next = vectors.values();
    return pictures.map((picture) => {
      if (picture instanceof CoreError) return picture;
      const { value: vector } = next.next();
      if (vector === undefined) throw new Error(`the tower gave ${vectors.length} vectors for ${good.length} pictures`);
      const { original, warnings } = picture;
      return { vector, ...original, warnings };
    });
  }

  async function* encodePictures(pictures: AsyncIterable<Picture>): AsyncGenerator<Float32Array> {
    let some: Prepared[] = [];
    for await (const picture of pictures) {
      some.push(preprocess.toTensor(picture, spare.pop()));
      if (some.length < batch) continue;
      yield* await runBatch(some);
      some = [];
    }
    if (some.length > 0) yield* await runBatch(some);
  }
  return { encodeFiles, encodePictures };
}
