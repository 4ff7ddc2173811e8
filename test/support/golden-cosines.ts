// A program for any runtime that has `node:fs`: what the embedded model computes there of its golden texts, on our own text engine. Prints a line of JSON.
import { readFile } from 'node:fs/promises';
import { recompute } from '../../api/core/golden.ts';
import { once } from '../../api/text/once.ts';
import { openModel } from '../../api/text/open-model.ts';
import { createWasmEngine } from '../../api/text/wasm/engine.ts';
import { chooseBuild } from '../../api/text/wasm/modules.ts';
import { ModelManifest } from '../../contracts/src/model/manifest.ts';

const MODEL = new URL('../../api/model/', import.meta.url);
const ENGINE = new URL('../../api/text/wasm/', import.meta.url);

const bytesOf = async (url: URL): Promise<ArrayBuffer> => Uint8Array.from(await readFile(url)).buffer;
const moduleOf = async (name: string) => WebAssembly.compile(await bytesOf(new URL(name, ENGINE)));

const manifest = ModelManifest.parse(JSON.parse(await readFile(new URL('manifest.json', MODEL), 'utf8')));
const [relaxed, plain] = [await moduleOf('encoder.relaxed.wasm'), await moduleOf('encoder.wasm')];
const model = await openModel(
  { manifest: async () => manifest, read: ({ path }) => bytesOf(new URL(path, MODEL)) },
  { engine: createWasmEngine({ module: chooseBuild({ relaxed, plain }) }), once },
);
const cosines: number[] = [];
for await (const { cosine } of recompute({ ...model, manifest })) cosines.push(cosine);
await model.close();
console.log(JSON.stringify({ texts: cosines.length, least: Math.min(...cosines) }));
