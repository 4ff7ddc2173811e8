// The WebAssembly module of the text engine: kernels over one linear memory, which its host lays out. Nothing is
// allocated and nothing is kept: every function reads and writes where it is told to.
export { attend } from './attention';
export { probe } from './dots';
export { arrange, pack } from './packing';
export { multiply, multiplyAccumulating, multiplyTurned } from './product';
export { addProduct, addRows, divide, mean, normalize, quantize, unpack } from './rows';
