// The table of text engines: another engine is a folder beside `onnx/` and a row here.
import { createOnnxEngine } from './onnx/engine.ts';
import { createWasmEngine } from './wasm/engine.ts';

export const ENGINES = { onnx: createOnnxEngine, wasm: createWasmEngine };

export type EngineName = keyof typeof ENGINES;
