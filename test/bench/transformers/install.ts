// transformers.js for one run of `npm run bench:engines -- --transformers`: its files for pages, in a folder that goes with the run.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';

const PACKAGE = '@huggingface/transformers';
const RELEASE = '4.3.2';
const RUNTIME = 'onnxruntime-web';

export interface Installed {
  /** Of both, as printed beside figures. */
  versions: Record<string, string>;
  /** Folders with the files that pages load. */
  transformers: string;
  onnxruntime: string;
}

/** Without what it needs in Node, which is ten times as large and which no page loads. */
export function installTransformers(folder: string): Installed {
  const transformers = unpacked(folder, PACKAGE, RELEASE);
  const { dependencies } = JSON.parse(readFileSync(join(transformers, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const runtime = dependencies[RUNTIME];
  if (runtime === undefined) throw new Error(`${PACKAGE} ${RELEASE} does not say which ${RUNTIME} it runs on`);
  const onnxruntime = unpacked(folder, RUNTIME, runtime);
  return {
    versions: { [PACKAGE]: RELEASE, [RUNTIME]: runtime },
    transformers: join(transformers, 'dist'),
    onnxruntime: join(onnxruntime, 'dist'),
  };
}

/** The folder with a package's files. */
function unpacked(folder: string, name: string, version: string): string {
  const target = join(folder, name.replace('/', '-'));
  mkdirSync(target);
  const options = {
    cwd: target,
    encoding: 'utf8' as const,
    stdio: ['ignore', 'pipe', 'pipe'] as ['ignore', 'pipe', 'pipe'],
  };
  try {
    const archive = execFileSync('npm', ['pack', '--silent', `${name}@${version}`], options).trim();
    execFileSync('tar', ['-xzf', archive], options);
  } catch (error) {
    throw new UserError(`${name} ${version} cannot be fetched from the package registry: ${reasonOf(error)}`);
  }
  return join(target, 'package');
}
