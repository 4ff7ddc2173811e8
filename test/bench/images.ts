// `npm run bench:images`: photographs a second and core, our encoder beside what a Python user would run instead, and its cold start on Lambda.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { dot } from '../../api/core/vectors/vectors.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../contracts/command/numbers.ts';
import { reasonOf, UserError } from '../../contracts/src/user-error.ts';
import { trainerPython } from '../support/python.ts';
import { type Arm, openArm, type Round } from './images/arm.ts';
import { measureChildren } from './images/children.ts';
import { measureColdStart } from './images/cold-start.ts';
import { installInfinity } from './images/infinity.ts';
import { measureVideos } from './images/videos.ts';
import { median } from './process.ts';

const HELP = `Usage: npm run bench:images [-- --photos FOLDER] [--only PART[,PART]] [--rounds N]
                           [--starts N] [--infinity] [--json]

Photographs of 500 x 375 pixels, made of the page's samples, from bytes of JPEG to vectors in one thread: the encoder of bulk
jobs; open_clip's transforms with the backbone in PyTorch; the same transforms with the exported graph in ONNX Runtime; infinity's
engine around that graph. In turns, each in a process of its own, by CPU time; medians of N rounds (default 5) after one that is
not counted. That is the part \`encoders\`; the others are
  cold_start  the handler of the Lambda image, from the start of its process to the first vector, whose event comes from an
              emulated runtime API; medians of N starts after one that is not counted
  children    a child of an array job, a process a core with one thread each, beside one process whose runs use all cores, by wall time
  videos      frames of clips that ffmpeg makes of the samples, by CPU time of the encoder and of ffmpeg
  --photos FOLDER  JPEG files to encode instead
  --only PART      parts to measure (default all)
  --rounds N       rounds
  --starts N       cold starts (default 15)
  --infinity       measure infinity, too: installs it into a folder that goes afterwards, from the package registry
  --json           one JSON document
`;
const OPTIONS = {
  photos: { type: 'string' },
  rounds: { type: 'string', default: '5' },
  starts: { type: 'string', default: '15' },
  only: { type: 'string' },
  infinity: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;
const ROOT = join(import.meta.dirname, '../..');
const MODEL = join(ROOT, 'api/model');
const SAMPLES = join(ROOT, 'api/playground/samples');
const COUNT = 64;
const PARTS = ['encoders', 'cold_start', 'children', 'videos'] as const;

function partsOf(only: string | undefined): readonly string[] {
  const parts = only?.split(',') ?? PARTS;
  const unknown = parts.find((part) => !PARTS.some((each) => each === part));
  if (unknown !== undefined) throw new UserError(`--only ${unknown}: there are ${PARTS.join(', ')}`);
  return parts;
}

const samples = (): string[] =>
  readdirSync(SAMPLES).flatMap((name) => (name.endsWith('.jpg') ? [join(SAMPLES, name)] : []));

/** No two are alike: an encoder may compute what it has seen only once. */
async function makePhotos(folder: string): Promise<void> {
  const files = samples();
  for (let i = 0; i < COUNT; i++) {
    const sample = sharp(files[i % files.length] ?? '');
    const photo = sample.modulate({ brightness: 0.8 + i / 160 }).resize(500, 375, { fit: 'fill' });
    await photo.jpeg({ quality: 90 }).toFile(join(folder, `${String(i).padStart(3, '0')}.jpg`));
  }
}

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const rounds = wholeNumberOf('--rounds', values.rounds, { from: 1 });
  const starts = wholeNumberOf('--starts', values.starts, { from: 1 });
  const parts = partsOf(values.only);
  const made = mkdtempSync(join(tmpdir(), 'bench-images-'));
  const arms: Arm[] = [];
  try {
    if (values.photos === undefined) await makePhotos(made);
    const photos = values.photos ?? made;
    const names = readdirSync(photos).filter((name) => name.endsWith('.jpg'));
    const count = names.length;
    if (count === 0) throw new UserError(`--photos ${photos}: there is no .jpg in it`);
    const result = {
      machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg()[0] },
      ...(parts.includes('encoders')
        ? await compare(arms, { rounds, count, photos, made, infinity: values.infinity ?? false })
        : {}),
      photos: values.photos ?? 'made of the samples',
      count,
      ...(parts.includes('cold_start')
        ? { cold_start: await measureColdStart(join(photos, names[0] ?? ''), starts) }
        : {}),
      ...(parts.includes('children') ? { children: await measureChildren(photos, rounds) } : {}),
      ...(parts.includes('videos') ? { videos: await measureVideos(samples(), MODEL, rounds) } : {}),
    };
    if (values.json) console.log(JSON.stringify(result, undefined, 2));
    else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(28)} ${JSON.stringify(value)}`);
    return 0;
  } finally {
    for (const arm of arms) arm.close();
    rmSync(made, { recursive: true, force: true });
  }
}

interface Comparison {
  rounds: number;
  count: number;
  photos: string;
  made: string;
  infinity: boolean;
}

/** Opens what encodes, in turns. */
async function compare(arms: Arm[], { rounds, count, photos, made, infinity }: Comparison) {
  const python = await trainerPython();
  const env = {
    ...process.env,
    PYTHONPATH: ['trainer', 'contracts/python'].map((path) => join(ROOT, path)).join(':'),
  };
  arms.push(openArm('ours', process.execPath, [join(import.meta.dirname, 'images/ours.ts'), photos, MODEL], env));
  for (const name of ['open_clip', 'onnxruntime']) {
    arms.push(openArm(name, python, ['-W', 'ignore', '-m', 'bench.images', name, photos, MODEL], env));
  }
  const reason = infinity ? await addInfinity(arms, { python, photos, made, env }) : '--infinity measures it';
  const result = await measure(arms, { rounds, count });
  return reason === undefined ? result : { ...result, infinity: `not run: ${reason}` };
}

interface Setting {
  python: string;
  photos: string;
  /** A folder that goes with the run. */
  made: string;
  env: NodeJS.ProcessEnv;
}

/** Why it cannot be measured, where it cannot. */
async function addInfinity(arms: Arm[], { python, photos, made, env }: Setting): Promise<string | undefined> {
  const installed = installInfinity(python, made);
  if ('reason' in installed) return installed.reason;
  const own = { ...env, PYTHONPATH: `${installed.folder}:${env.PYTHONPATH}`, HF_HUB_OFFLINE: '1' };
  const arm = openArm('infinity', python, ['-W', 'ignore', '-m', 'bench.infinity', photos, MODEL], own);
  try {
    await arm.round();
  } catch (error) {
    return reasonOf(error);
  }
  arms.push(arm);
  return undefined;
}

async function measure(arms: Arm[], { rounds, count }: { rounds: number; count: number }) {
  const taken = new Map(arms.map(({ name }) => [name, [] as Round[]]));
  for (let round = 0; round <= rounds; round++) {
    for (const arm of arms) {
      const found = await arm.round();
      if (round > 0) taken.get(arm.name)?.push(found);
    }
  }
  const roundsOf = (name: string): Round[] => taken.get(name) ?? [];
  const rate = (name: string) => Math.round((10_000 * count) / median(roundsOf(name).map(({ ms }) => ms))) / 10;
  const ratio = (name: string) => {
    const ratios = roundsOf(name).map(({ ms }, i) => ms / (roundsOf('ours')[i]?.ms ?? Number.NaN));
    return Math.round(median(ratios) * 100) / 100;
  };
  const others = arms.map(({ name }) => name).filter((name) => name !== 'ours');
  return {
    photographs_a_core_second: Object.fromEntries(arms.map(({ name }) => [name, rate(name)])),
    ours_times: Object.fromEntries(others.map((name) => [name, ratio(name)])),
    least_cosine_to: Object.fromEntries(
      others.flatMap((name) => {
        const [first] = roundsOf(name);
        return first?.vectors ? [[name, leastCosine(roundsOf('ours')[0], first)]] : [];
      }),
    ),
  };
}

/** Another decoder and another resize, and so nearly the same vectors; less would be another computation. */
function leastCosine(ours: Round | undefined, theirs: Round | undefined): number {
  const cosines = (ours?.vectors ?? []).map((vector, i) => dot(vector, theirs?.vectors?.[i] ?? []));
  return Math.min(...cosines);
}

await runCommand({ help: HELP, options: OPTIONS }, main);
