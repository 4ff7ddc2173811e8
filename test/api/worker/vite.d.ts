// Types of what Vite makes of imports with a query, and import.meta.glob.
/// <reference types="vite/types/importMeta.d.ts" />
declare module '*?raw' {
  const text: string;
  export default text;
}
