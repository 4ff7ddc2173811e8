// Types of imported files that are not code, as the bundler's rules in wrangler.toml make modules of them.
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
/** The bundler takes from it what is imported. */
declare module '*/package.json' {
  export const version: string;
}
/** Generated from the table of operations. */
declare module '*/schema/routes.json' {
  type Id = import('../../contracts/src/api/operations.ts').OperationId;
  const routes: Record<Id, import('../../contracts/src/api/operation.ts').Route>;
  export default routes;
}
/** Present once a model was installed in api/model; as text, so that its digest is known. */
declare module '*/model/manifest.json' {
  const text: string;
  export default text;
}
