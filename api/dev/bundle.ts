// Bundles the Worker as `wrangler deploy` does, in a fraction of its time: for `npm start`, tests and measurements.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

export type WorkerModule =
  | { type: 'ESModule' | 'Text'; path: string; contents: string }
  | { type: 'CompiledWasm'; path: string; contents: Uint8Array };

const entryOf = (name: string): string => fileURLToPath(new URL(`../worker/${name}.ts`, import.meta.url));
/** The Worker that is deployed, and the one that runs text towers of every kind. */
export const WITHOUT_ONNXRUNTIME = entryOf('index');
export const WITH_ONNXRUNTIME = entryOf('with-onnxruntime');
export const EMBEDDED_MODEL = fileURLToPath(new URL('../model', import.meta.url));

/** What wrangler.toml's rules say of files that are not code. */
export const RULES = [
  { pattern: /\.wasm$/, type: 'CompiledWasm' as const },
  { pattern: /(^|\/)manifest\.json$/, type: 'Text' as const },
];

/**
 * `model`: folder whose manifest stands in for that of api/model; `entry`: file that stands in for the Worker's own. The first module is
 * the entry.
 */
export async function bundleWorker({
  model = EMBEDDED_MODEL,
  minify = false,
  entry = WITHOUT_ONNXRUNTIME,
} = {}): Promise<WorkerModule[]> {
  const files = new Map<string, WorkerModule>();
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    minify,
    format: 'esm',
    target: 'es2024',
    platform: 'browser',
    conditions: ['workerd', 'worker', 'browser'],
    // workerd's own, and ONNX Runtime's Node branch, never taken there.
    external: ['cloudflare:*', 'node:*', 'module', 'worker_threads'],
    logLevel: 'silent',
    plugins: [modelFolder(model), fileModules(files)],
  });
  const code = result.outputFiles[0]?.text ?? '';
  return [{ type: 'ESModule', path: 'index.js', contents: code }, ...files.values()];
}

function modelFolder(folder: string): Plugin {
  return {
    name: 'model-folder',
    setup({ onResolve, resolve: again }) {
      onResolve({ filter: /\/model\// }, async ({ path, importer, kind, resolveDir, pluginData }) => {
        const isEmbedded = dirname(resolve(resolveDir, path)) === EMBEDDED_MODEL;
        if (pluginData === 'found' || !isEmbedded) return undefined;
        const file = join(resolve(folder), basename(path));
        return again(file, { importer, kind, resolveDir: folder, pluginData: 'found' });
      });
    },
  };
}

function fileModules(files: Map<string, WorkerModule>): Plugin {
  const require = createRequire(import.meta.url);
  return {
    name: 'file-modules',
    setup({ onResolve }) {
      for (const { pattern, type } of RULES) {
        onResolve({ filter: pattern }, async ({ path, resolveDir }) => {
          const isBare = !path.startsWith('.') && !path.startsWith('/');
          const file = isBare ? require.resolve(path) : resolve(resolveDir, path);
          const name = basename(file);
          const contents = await readFile(file);
          files.set(
            name,
            type === 'Text' ? { type, path: name, contents: contents.toString() } : { type, path: name, contents },
          );
          return { path: `./${name}`, external: true };
        });
      }
    },
  };
}
