// `npm run bench:bulk`: many images through one bulk job, a shard killed in its middle: what is lost, how fast, how much memory.
import { spawn } from 'node:child_process';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import sharp from 'sharp';
import { membersOfTar } from '../../api/bulk/inputs/tar.ts';
import { isImageName } from '../../api/bulk/service/inputs.ts';
import { toFileUri } from '../../api/registry/stores/file-uri.ts';
import { openStore } from '../../api/registry/stores/open.ts';
import { type CommandLine, runCommand } from '../../contracts/command/command-line.ts';
import { wholeNumberOf } from '../../contracts/command/numbers.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { BulkResult } from '../../contracts/src/bulk/lines.ts';
import { BulkEvent, readEvent } from '../../contracts/src/events.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { writeTinyModel } from '../api/bulk/jobs.ts';
import { shardProcesses } from '../support/shard-processes.ts';

const HELP = `Usage: npm run bench:bulk [-- --images N] [--pictures FOLDER] [--model FOLDER | --tiny] [--workers N] [--no-kill] [--json]

Makes N pictures of 32 x 32 pixels (default 100000) as lines of one file, embeds them by \`npm run encode\`, kills one of its
processes with SIGKILL at a third, and reads every line of what comes out. Memory is the resident set of the processes that
encode, the largest of them: in the first tenth of the job and in the last. Reads /proc: Linux.
  --pictures FOLDER  the first N image files below FOLDER and in its tars, in the place of made ones
  --model FOLDER     a model in the place of the embedded one
  --tiny             a tower of a few products in its place: what is measured is everything else
  --no-kill          nothing is killed
  --workers N        processes (default one per core)
  --json             the result as one document
  --help             this text
  --version          name and version
`;
const OPTIONS = {
  images: { type: 'string', default: '100000' },
  pictures: { type: 'string' },
  model: { type: 'string' },
  workers: { type: 'string' },
  tiny: { type: 'boolean' },
  'no-kill': { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

const ENCODE = join(import.meta.dirname, '../../api/bulk/hosts/encode.ts');
const SIDE = 32;
const MIB = 2 ** 20;

/** Without an end. No two are equal: the number is in the first pixels. */
async function* madePictures(): AsyncGenerator<Uint8Array> {
  for (let i = 0; ; i++) {
    const pixels = Buffer.alloc(SIDE * SIDE * 3, i % 251);
    pixels.writeUInt32BE(i, 0);
    yield await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png({ compressionLevel: 1 })
      .toBuffer();
  }
}

/** Image files below a folder and in its tars, in the order of their names. */
async function* picturesIn(folder: string): AsyncGenerator<Uint8Array> {
  for (const name of readdirSync(folder, { encoding: 'utf8', recursive: true }).sort()) {
    const path = join(folder, name);
    if (isImageName(name)) yield readFileSync(path);
    if (!name.endsWith('.tar')) continue;
    const tar = await openStore(toFileUri(resolve(folder))).get(name);
    if (!tar) continue;
    const members = membersOfTar(tar.stream(), { most: LIMITS.image_bytes, hasVideos: false });
    for await (const member of members) if ('bytes' in member) yield member.bytes;
  }
}

/** Writes so many at most as lines of a file, and answers how many there were. */
async function writeLines(path: string, pictures: AsyncIterable<Uint8Array>, most: number): Promise<number> {
  let count = 0;
  async function* lines(): AsyncGenerator<string> {
    // By hand: `for await` would wait for a tar to close that is not read to its end.
    const iterator = pictures[Symbol.asyncIterator]();
    for (; count < most; count++) {
      const { value, done } = await iterator.next();
      if (done) return;
      yield `${JSON.stringify({ custom_id: `image-${count}`, image: Buffer.from(value).toString('base64') })}\n`;
    }
  }
  await pipeline(lines, createWriteStream(path));
  return count;
}

interface Run {
  seconds: number;
  code: number | null;
  killed: number | null;
  memory: { done: number; bytes: number }[];
}

async function encode(
  input: string,
  output: string,
  options: { words: string[]; count: number; kills: boolean },
): Promise<Run> {
  const begun = performance.now();
  const child = spawn(process.execPath, [ENCODE, input, output, '--json', ...options.words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const run: Run = { seconds: 0, code: null, killed: null, memory: [] };
  let done = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = readEvent(BulkEvent, line);
    if (event?.event !== 'job') return;
    done = event.items_done;
    if (!options.kills || run.killed !== null || done < options.count / 3) return;
    const [victim] = shardProcesses(output);
    if (victim === undefined) return;
    process.kill(victim.pid, 'SIGKILL');
    run.killed = done;
  });
  const timer = setInterval(() => {
    const bytes = Math.max(0, ...shardProcesses(output).map((each) => each.bytes));
    if (bytes > 0) run.memory.push({ done, bytes });
  }, 250);
  run.code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(timer);
  run.seconds = (performance.now() - begun) / 1000;
  return run;
}

/** Reads every line: which items are there, and how often. */
async function audit(output: string, count: number): Promise<{ lost: number; doubled: number; errors: number }> {
  const seen = new Uint8Array(count);
  let errors = 0;
  for (const name of readdirSync(output)) {
    if (!/^(part|errors)-\d+\.jsonl$/.test(name)) continue;
    for await (const line of createInterface({ input: createReadStream(join(output, name)) })) {
      if (name.startsWith('errors')) errors += 1;
      else {
        const index = Number(BulkResult.parse(JSON.parse(line)).custom_id.replace('image-', ''));
        seen[index] = (seen[index] ?? 0) + 1;
      }
    }
  }
  return {
    lost: seen.filter((times) => times === 0).length,
    doubled: seen.filter((times) => times > 1).length,
    errors,
  };
}

function peak(memory: Run['memory'], isIn: (done: number) => boolean): number {
  return Math.max(0, ...memory.filter(({ done }) => isIn(done)).map(({ bytes }) => bytes)) / MIB;
}

async function main({ values }: CommandLine<typeof OPTIONS>): Promise<number> {
  const most = wholeNumberOf('--images', values.images, { from: 1 });
  const workers = wholeNumberOf('--workers', values.workers, { from: 1 }) ?? availableParallelism();
  if (values.tiny && values.model !== undefined) throw new UserError('--tiny and --model name two models: give one');
  const { pictures } = values;
  if (pictures !== undefined && !existsSync(pictures)) throw new UserError(`there is no folder ${pictures}`);
  if (!existsSync('/proc/self/status'))
    throw new UserError('memory is read from /proc, which is not here: run it on Linux');
  const folder = mkdtempSync(join(tmpdir(), 'bench-bulk-'));
  try {
    const [input, output] = [join(folder, 'lines.jsonl'), join(folder, 'out')];
    if (!values.json) console.log(pictures === undefined ? `making ${most} pictures …` : `reading ${pictures} …`);
    const count = await writeLines(input, pictures === undefined ? madePictures() : picturesIn(pictures), most);
    if (count === 0) throw new UserError(`${pictures} holds no picture, and no tar with one`);
    const tiny = values.tiny ? writeTinyModel() : undefined;
    const model = tiny ?? values.model;
    const words = ['--workers', `${workers}`, ...(model === undefined ? [] : ['--model', model])];
    if (!values.json) console.log(`embedding ${count} with ${workers} processes …`);
    const run = await encode(input, output, { words, count, kills: !values['no-kill'] });
    const found = await audit(output, count);
    if (tiny !== undefined) rmSync(tiny, { recursive: true });
    const result = {
      date: new Date().toISOString(),
      machine: { cpu: cpus()[0]?.model, cores: availableParallelism(), load: loadavg()[0] },
      model: values.tiny ? 'tiny' : (values.model ?? 'embedded'),
      pictures: pictures ?? `${SIDE} x ${SIDE}`,
      images: count,
      workers,
      exit: run.code,
      killed_at: run.killed,
      ...found,
      seconds: run.seconds,
      images_per_second: count / run.seconds,
      rss_mib: {
        first_tenth: peak(run.memory, (done) => done <= count / 10),
        last_tenth: peak(run.memory, (done) => done >= (count * 9) / 10),
        peak: peak(run.memory, () => true),
      },
    };
    if (values.json) console.log(JSON.stringify(result, undefined, 2));
    else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(18)} ${JSON.stringify(value)}`);
    return run.code === 0 && found.lost + found.doubled + found.errors === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runCommand({ help: HELP, options: OPTIONS }, main);
