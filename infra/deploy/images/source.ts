// The source that images are built from: what .dockerignore lets in, by digest, uploaded file by file.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { toDigest } from '../../../api/registry/digest.ts';
import type { ObjectStore } from '../../../api/registry/store.ts';
import { sourceFileKey, sourcePrefix } from '../../../contracts/src/keys.ts';
import type { StackParameterName } from '../../../contracts/src/outputs.ts';
import { hasGpuEncoder, type Settings } from '../../base/settings.ts';

/** The images: how each is built, where it goes, and which files decide what is in it. */
export const IMAGES = {
  trainer: {
    dockerfile: 'trainer/Dockerfile',
    platform: 'linux/amd64',
    repository: 'trainerImages',
    parameter: 'TrainerImageDigest',
    below: ['trainer/', 'contracts/', 'package.json'],
  },
  encoder: {
    dockerfile: 'api/encoder/Dockerfile',
    platform: 'linux/arm64',
    repository: 'encoderImages',
    parameter: 'EncoderImageDigest',
    below: ['api/', 'contracts/', 'package.json', 'package-lock.json'],
  },
  'encoder-gpu': {
    dockerfile: 'api/encoder/gpu.Dockerfile',
    platform: 'linux/amd64',
    repository: 'encoderImages',
    parameter: 'EncoderGpuImageDigest',
    below: ['api/', 'contracts/', 'package.json', 'package-lock.json'],
  },
} as const satisfies Record<
  string,
  {
    dockerfile: string;
    platform: string;
    repository: 'trainerImages' | 'encoderImages';
    parameter: StackParameterName;
    below: readonly string[];
  }
>;
export type ImageName = keyof typeof IMAGES;

/** Those that an environment runs. */
export const imagesOf = (settings: Pick<Settings, 'encoder' | 'bulk'>): ImageName[] => [
  'trainer',
  'encoder',
  ...(hasGpuEncoder(settings) ? (['encoder-gpu'] as const) : []),
];

export interface Source {
  digest: string;
  /** Relative to the checkout, with slashes, sorted. */
  files: string[];
}

/** Every file that the image is built from. Without a look into git: a checkout with changes builds what it holds. */
export function sourceOf(image: ImageName, root: string): Source {
  const { below, dockerfile } = IMAGES[image];
  const own = buildContext(root).filter((file) => below.some((path) => file === path || file.startsWith(path)));
  const files = [...new Set([...own, '.dockerignore', dockerfile])].sort();
  // Two images may be built from the same files.
  const hash = createHash('sha256').update(`${dockerfile}\0`);
  for (const file of files) {
    const data = readFileSync(join(root, file));
    hash.update(`${file}\0${data.byteLength}\0`).update(data);
  }
  return { digest: toDigest(hash.digest()), files };
}

/**
 * The files of a build's context. Of .dockerignore's language, this reads what the file uses: everything is left out but for
 * the paths after "!", and without them what later lines name, as a path or as a name in whatever folder.
 */
export function buildContext(root: string): string[] {
  const lines = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
  const rules = lines.map((line) => line.trim()).filter((line) => line !== '' && line !== '*' && !line.startsWith('#'));
  const left = rules.filter((line) => !line.startsWith('!')).map(patternOf);
  const within = (path: string): string[] => {
    if (left.some((pattern) => pattern.test(path)) || !existsSync(join(root, path))) return [];
    if (!statSync(join(root, path)).isDirectory()) return [path];
    return readdirSync(join(root, path)).flatMap((name) => within(`${path}/${name}`));
  };
  return rules.flatMap((line) => (line.startsWith('!') ? within(line.slice(1)) : []));
}

/** `**` and a slash stand for any folders, `*` for any characters of a name. */
function patternOf(line: string): RegExp {
  const escaped = line.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&');
  const text = escaped.replaceAll(/\*\*\/|\*/g, (stars) => (stars === '*' ? '[^/]*' : '(?:.*/)?'));
  return new RegExp(`^${text}$`);
}

/** Everything that a deployment is made from, apart from the images' contexts. */
const CHECKOUT = ['api', 'contracts', 'infra', 'trainer', 'cdk.json', 'package-lock.json', 'wrangler.toml'];
const NOT_SOURCE = /(^|\/)(node_modules|\.venv|__pycache__|\.wrangler|runs|dist)$|\.(pyc|tsbuildinfo)$|\.venv\.lock$/;

/** One digest over the checkout: with another one, every step is looked at again. */
export function checkoutDigest(root: string): string {
  const hash = createHash('sha256');
  const add = (path: string): void => {
    const found = NOT_SOURCE.test(path) ? undefined : statSync(join(root, path), { throwIfNoEntry: false });
    if (found === undefined) return;
    if (found.isDirectory()) for (const name of readdirSync(join(root, path)).sort()) add(`${path}/${name}`);
    else hash.update(`${path}\0${found.size}\0`).update(readFileSync(join(root, path)));
  };
  for (const path of CHECKOUT) add(path);
  return toDigest(hash.digest());
}

const PARALLEL_UPLOADS = 8;

/** Uploads the files that are not there; answers with the folder's key. */
export async function uploadSource({ digest, files }: Source, root: string, store: ObjectStore): Promise<string> {
  const prefix = sourcePrefix(digest);
  const stored = new Set((await store.list(`${prefix}/`)).map(({ key }) => key));
  const waiting = files.filter((file) => !stored.has(sourceFileKey(digest, file)));
  const next = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift())
      await store.put(sourceFileKey(digest, file), readFileSync(join(root, file)));
  };
  await Promise.all(Array.from({ length: PARALLEL_UPLOADS }, next));
  return prefix;
}
