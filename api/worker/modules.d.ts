// What the bundler's rules in wrangler.toml make of files that are not code.
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
/** The bundler takes from it what is imported. */
declare module '*/package.json' {
  export const version: string;
}
/** Present once a model was installed in api/model; as text, so that its digest is known. */
declare module '*/model/manifest.json' {
  const text: string;
  export default text;
}
