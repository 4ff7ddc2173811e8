// Keeps what Node compiles of the files that tests' processes read: compiling was half of the time of a command that they start.
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '../../node_modules/.cache/edge-clip-compiled');

/** Vitest calls it before the first test; its workers and the processes that they start inherit the variable. */
export default function useCompileCache(): void {
  process.env.NODE_COMPILE_CACHE ??= FOLDER;
}
