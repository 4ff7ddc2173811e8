// What the bundler's rules in wrangler.toml make of files that are not code.
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
/** A document that is served as it is; as text, because to make an object of it is work at every start. */
declare module '*/openapi.json' {
  const text: string;
  export default text;
}
/** Present once a model was installed in api/model; as text, so that its digest is known. */
declare module '*/model/manifest.json' {
  const text: string;
  export default text;
}
