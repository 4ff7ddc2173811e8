// `npm run encoder-module`: compiles the AssemblyScript of texts and of pixels to the WebAssembly modules that are committed.
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { UserError } from '../../contracts/src/user-error.ts';

const HELP = `Usage: npm run encoder-module [-- --check]

Compiles AssemblyScript to the WebAssembly modules beside it: the text engine's, once with relaxed SIMD and once without, to
api/text/wasm/*.wasm, and the image encoder's resize to api/encoder/pixels/resize.wasm.
--check writes nothing and exits with 1 when a module is not what its source compiles to, naming it.
`;
const OPTIONS = { check: { type: 'boolean' } } as const;
const API = fileURLToPath(new URL('..', import.meta.url));

/** The modules by their path in api/, with their source and what the compiler is told beside the common options. */
export const ENCODER_MODULES = {
  'text/wasm/encoder.wasm': { source: 'encoder.ts', options: [] },
  'text/wasm/encoder.relaxed.wasm': { source: 'encoder.ts', options: ['--enable', 'relaxed-simd'] },
  'encoder/pixels/resize.wasm': { source: 'resize.ts', options: [] },
} as const;
export type EncoderModule = keyof typeof ENCODER_MODULES;

/** A variable, because the package's types declare a `console` of their own; and 100 MB that only this loads. */
const COMPILER: string = 'assemblyscript/asc';
interface Compiler {
  main(
    options: string[],
    files: {
      readFile(name: string): Promise<string | null>;
      writeFile(name: string, contents: string | Uint8Array): void;
      listFiles(): null;
    },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>;
}

/** The bytes of a module as its source is now. */
export async function compileEncoder(name: EncoderModule): Promise<Uint8Array> {
  const { main: compile } = (await import(COMPILER)) as Compiler;
  let module: Uint8Array | undefined;
  const { source, options: own } = ENCODER_MODULES[name];
  const folder = join(API, dirname(name), 'assembly');
  const options = [
    [source, '--outFile', basename(name), '--optimizeLevel', '3', '--shrinkLevel', '0', '--noAssert'],
    // No allocator, a memory that the host makes with constants at its start, and nothing else to supply.
    ['--runtime', 'stub', '--importMemory', '--memoryBase', '16', '--use', 'abort='],
    ['--enable', 'simd', ...own],
    // "Exchange of v128": functions between files, of which none is exported from the module.
    ['--disableWarning', '112'],
  ];
  const { error, stderr } = await compile(options.flat(), {
    readFile: (file) => readFile(join(folder, file), 'utf8').catch(() => null),
    writeFile: (_, contents) => {
      if (typeof contents !== 'string') module = contents;
    },
    listFiles: () => null,
  });
  if (error || !module) throw new UserError(`api/${dirname(name)}/assembly does not compile: ${stderr.toString()}`);
  return module;
}

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  let stale = 0;
  for (const name of Object.keys(ENCODER_MODULES) as EncoderModule[]) {
    const module = await compileEncoder(name);
    const current = await readFile(join(API, name)).catch(() => undefined);
    if (current && Buffer.compare(current, module) === 0) continue;
    stale++;
    if (values.check) console.error(`stale: api/${name} (run: npm run encoder-module)`);
    else {
      await writeFile(join(API, name), module);
      console.log(`wrote api/${name}, ${module.length} bytes`);
    }
  }
  return values.check && stale > 0 ? 1 : 0;
}

if (import.meta.main) await runCommand({ help: HELP, options: OPTIONS }, main);
