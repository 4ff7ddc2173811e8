// What the bundler's rules in wrangler.toml make of files that are not code.
declare module '*.onnx' {
  const data: ArrayBuffer;
  export default data;
}
declare module '*.bin' {
  const data: ArrayBuffer;
  export default data;
}
declare module '*.txt' {
  const text: string;
  export default text;
}
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
/** Present once a model was published into api/model. */
declare module '*/model/manifest.json' {
  const manifest: unknown;
  export default manifest;
}
