// Texts become vectors in a browser: the embedded model from the static files, on the module that serves in Workers. The page
// loads it with ?local=1.

import type { TruncationReceipt } from '../../contracts/src/api/embed.ts';
import type { ErrorMember } from '../../contracts/src/api/error.ts';
import { STATIC_PATHS } from '../../contracts/src/keys.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';
import { staticFilesOf } from '../../contracts/src/model/static-files.ts';
import { rowTables } from '../../contracts/src/model/towers.ts';
import { type Embedded, embedPartially } from '../core/embed.ts';
import { errorMember } from '../core/error-document.ts';
import { CoreError } from '../core/errors.ts';
import type { Model } from '../core/model.ts';
import { staticFileReader } from '../registry/stores/static-files.ts';
import { once } from '../text/once.ts';
import { openModel } from '../text/open-model.ts';
import { createWasmEngine } from '../text/wasm/engine.ts';
import { chooseBuild } from '../text/wasm/modules.ts';

/** What POST /embed says of a text, the vector as numbers. */
export type EmbeddedText = { embedding: Float32Array; truncation: TruncationReceipt } | { error: ErrorMember };

export interface LocalModel {
  name: string;
  version: string;
  space_id: string;
  /** `model`: an id of GET /v1/models. In the order of the texts. */
  embed(texts: string[], model: string): Promise<EmbeddedText[]>;
  /** Bytes of the model that were read until now. */
  bytesRead(): number;
}

/** Reads the manifest; what a text needs is read with the first one. Throws where the browser or the server lacks something. */
export async function openLocalModel(): Promise<LocalModel> {
  if (globalThis.crypto?.subtle === undefined) {
    throw new Error('A browser reads texts itself on https:// pages and on localhost only.');
  }
  let bytes = 0;
  const module = await WebAssembly.compileStreaming(fetch(chooseBuild(STATIC_PATHS.encoders)));
  const manifest = ModelManifest.parse(await (await fetched(STATIC_PATHS.manifest)).json());
  const { read } = staticFileReader((key) => fetch(`/${key}`), staticFilesOf(rowTables(manifest)));
  const source = {
    manifest: async () => manifest,
    read: async (artefact: Parameters<typeof read>[0]) => {
      const file = await read(artefact);
      bytes += file.byteLength;
      return file;
    },
  };
  const model = await openModel(source, { engine: createWasmEngine({ module }), once });
  const { name, version, space_id } = model.manifest;
  return { name, version, space_id, embed: (texts, id) => embed(model, texts, id), bytesRead: () => bytes };
}

async function embed(model: Model, texts: string[], id: string): Promise<EmbeddedText[]> {
  const input = texts.map((text) => ({ text }));
  const { outcomes } = await embedPartially(model, engines, { model: id, input });
  return outcomes.map((outcome) => (outcome instanceof CoreError ? { error: errorMember(outcome) } : render(outcome)));
}

function render({ embedding, truncation }: Embedded): EmbeddedText {
  if (truncation === undefined) throw new Error('a text was embedded without a receipt');
  return { embedding, truncation };
}

/** A tab shares its thread with the page alone, which is drawn between two blocks. */
const engines = {
  images: () => Promise.reject(new Error('images go to the server')),
  admit: <T>(_: unknown, run: (turn: { next(): Promise<void> }) => Promise<T>) => run({ next: drawn }),
};

const { scheduler }: { scheduler?: Partial<Scheduler> } = globalThis;

/** Not by a timer where there is something better: of timers in a row browsers make each wait for four milliseconds. */
const drawn = (): Promise<void> => scheduler?.yield?.() ?? new Promise((done) => setTimeout(done));

async function fetched(path: string): Promise<Response> {
  const response = await fetch(path);
  if (response.ok) return response;
  throw new Error(`The server has no ${path}: its static files are of another version.`);
}
