// The Worker with onnxruntime-web built in, 14 MB: for text towers that our own engine does not run, and TEXT_ENGINE = "onnx".
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import { createOnnxEngine } from '../text/onnx/engine.ts';
import { createService } from './service.ts';

export { KeyUsage } from './access/key-usage.ts';

export default createService((alone) => createOnnxEngine({ wasm, alone }));
