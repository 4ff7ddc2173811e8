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
/** A document that is served as it is. */
declare module '*/openapi.json' {
  const document: { info: { version: string } };
  export default document;
}
/** Present once a model was installed in api/model; as text, so that its digest is known. */
declare module '*/model/manifest.json' {
  const text: string;
  export default text;
}
