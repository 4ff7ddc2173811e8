// Builds the images that are missing, in AWS by CodeBuild or here by docker buildx, and says their digests.
import type { ObjectStore } from '../../../api/registry/store.ts';
import { hexOf, shortDigest } from '../../../contracts/src/keys.ts';
import { CLOUD_OUTPUTS } from '../../../contracts/src/outputs.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { type Aws, TooManyBuilds } from '../aws.ts';
import type { RunProgram } from '../programs.ts';
import { IMAGES, type ImageName, sourceOf, uploadSource } from './source.ts';

export interface ImageOptions {
  /** Which are needed. */
  images: readonly ImageName[];
  root: string;
  aws: Aws;
  run: RunProgram;
  /** Of the data stack. */
  outputs: Readonly<Record<string, string>>;
  /** The training bucket. */
  store: ObjectStore;
  how: 'codebuild' | 'buildx';
  /** What happens, as a sentence, for a person who waits. */
  say(sentence: string): void;
  stop: AbortSignal;
  /** Between two questions how far a build is. */
  pollMs?: number;
}

/** Ten seconds: a build takes from three minutes to half an hour. */
const POLL_MS = 10_000;

/** By image, the 64 digits of its digest. An image of the same source is in its repository already: it is not built again. */
export async function buildImages(options: ImageOptions): Promise<Partial<Record<ImageName, string>>> {
  const digests: Partial<Record<ImageName, string>> = {};
  const build = async (image: ImageName): Promise<void> => {
    digests[image] = await buildImage(image, options);
  };
  const later: ImageName[] = [];
  const buildNowOrLater = async (image: ImageName): Promise<void> => {
    await build(image).catch((error: unknown) => {
      if (!(error instanceof TooManyBuilds)) throw error;
      later.push(image);
      options.say(`${image}: waits until other builds have ended, as this account may not run more of them at a time`);
    });
  };
  // One after the other here, so that a laptop builds one at a time; in AWS as many at once as the account may.
  if (options.how === 'codebuild') await Promise.all(options.images.map(buildNowOrLater));
  for (const image of options.how === 'codebuild' ? later : options.images) await build(image);
  return digests;
}

/** The image of this source: where it belongs, and its digest if it is there. */
export async function pushedImage(
  image: ImageName,
  { root, aws, outputs }: Pick<ImageOptions, 'root' | 'aws' | 'outputs'>,
) {
  const uri = outputs[CLOUD_OUTPUTS[IMAGES[image].repository]] ?? '';
  const repository = uri.slice(uri.indexOf('/') + 1);
  const source = sourceOf(image, root);
  // Tags cannot be overwritten: the source names the image.
  const tag = shortDigest(source.digest);
  return { uri, repository, source, tag, digest: await aws.imageDigest(repository, tag) };
}

async function buildImage(image: ImageName, options: ImageOptions): Promise<string> {
  const { aws, how, say } = options;
  const { uri, repository, source, tag, digest: before } = await pushedImage(image, options);
  if (before !== undefined) {
    say(`${image}: the image of this source is there already (${tag})`);
    return hexOf(before);
  }
  const target = { uri, tag };
  const work =
    how === 'codebuild'
      ? buildInAws(image, { ...options, ...target, source })
      : buildHere(image, { ...options, ...target });
  const failure = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  const built = await aws.imageDigest(repository, tag);
  // A build that an interrupted deployment left running may have been first: the tag is its, and the image the same.
  if (failure !== undefined && (built === undefined || options.stop.aborted)) throw failure;
  if (built === undefined)
    throw new UserError(`${image}: the build ended well, and ${uri}:${tag} is not there: run the same command again`);
  return hexOf(built);
}

interface Target {
  uri: string;
  tag: string;
}

async function buildInAws(
  image: ImageName,
  {
    root,
    aws,
    outputs,
    store,
    say,
    stop,
    pollMs = POLL_MS,
    source,
    uri,
    tag,
  }: ImageOptions & Target & { source: ReturnType<typeof sourceOf> },
): Promise<void> {
  const { dockerfile, platform } = IMAGES[image];
  const folder = await uploadSource(source, root, store);
  const id = await aws.startBuild({
    project: outputs[CLOUD_OUTPUTS.imageBuilds] ?? '',
    source: `${outputs[CLOUD_OUTPUTS.trainingBucket]}/${folder}/`,
    variables: { DOCKERFILE: dockerfile, PLATFORM: platform, REPOSITORY: uri, TAG: tag },
  });
  say(`${image}: CodeBuild builds ${source.files.length} files as ${id}`);
  let phase = '';
  for (;;) {
    const build = await aws.build(id);
    if (build.phase !== phase) say(`${image}: ${build.phase.toLowerCase().replaceAll('_', ' ')}`);
    phase = build.phase;
    if (build.status === 'succeeded') return;
    if (build.status === 'failed')
      throw new UserError(`${image}: the build failed in ${phase}; its log: ${build.log ?? `CodeBuild, build ${id}`}`);
    await waited(pollMs, stop);
  }
}

async function buildHere(image: ImageName, { aws, run, say, uri, tag }: ImageOptions & Target): Promise<void> {
  const { dockerfile, platform } = IMAGES[image];
  const { user, password } = await aws.registryLogin();
  const [registry = ''] = uri.split('/');
  await run('docker', ['login', '--username', user, '--password-stdin', registry], { input: password });
  say(`${image}: docker builds for ${platform}`);
  const name = `${uri}:${tag}`;
  // Lambda takes no attestations beside an image.
  const args = ['--platform', platform, '--provenance=false', '-f', dockerfile, '-t', name, '--push', '.'];
  await run('docker', ['buildx', 'build', ...args]);
}

/** Builds in AWS go on without this machine: the same command finds their images. */
function waited(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const interrupted = new UserError('interrupted: the builds go on in AWS; run the same command again');
    if (stop.aborted) reject(interrupted);
    const timer = setTimeout(resolve, ms);
    stop.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        reject(interrupted);
      },
      { once: true },
    );
  });
}
