// Bulk jobs of the tests: folders with the tiny image tower, jobs that are planned, and what they left.
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { type BulkEncoderOptions, openBulkEncoder } from '../../../api/bulk/model.ts';
import { openPlace, openSources } from '../../../api/bulk/places.ts';
import { type Asked, COMMAND, jobOf } from '../../../api/bulk/service/ask.ts';
import { openJobFolder } from '../../../api/bulk/service/folder.ts';
import { planJob } from '../../../api/bulk/service/plan.ts';
import { encodeShard } from '../../../api/bulk/shard.ts';
import type { VideoPrograms } from '../../../api/bulk/video/program.ts';
import { sha256Of } from '../../../api/registry/stores/hash.ts';
import { openStore } from '../../../api/registry/stores/open.ts';
import type { BulkDone } from '../../../contracts/src/bulk/job.ts';
import { BulkError, BulkResult } from '../../../contracts/src/bulk/lines.ts';
import { ownMachine } from '../../../contracts/src/cloud/bulk-estimate.ts';
import { bulkFiles } from '../../../contracts/src/keys.ts';
import { writeTinyImageModel } from '../../support/tiny-image-model.ts';

export const IMAGES = join(import.meta.dirname, '../../../contracts/vectors/preprocess/images');
/** Read at the first text; the tiny model embeds none. */
export const TEXT_MODULE = join(import.meta.dirname, '../../../api/text/wasm/encoder.wasm');

/** ffmpeg of this machine, where there is one. */
export const PROGRAMS: VideoPrograms = { path: process.env.PATH ?? '', threads: 1 };

export const newFolder = (name: string): string => mkdtempSync(join(tmpdir(), `bulk-${name}-`));

/** The tiny image tower, with a vocabulary that every chunk opens. */
export function writeTinyModel(): string {
  const { folder, manifest } = writeTinyImageModel();
  const words = Buffer.from(['[PAD]', '[UNK]', '[CLS]', '[SEP]', ''].join('\n'));
  writeFileSync(join(folder, 'vocabulary.txt'), words);
  const vocabulary = { path: 'vocabulary.txt', digest: sha256Of(words), size: words.length };
  const tokenizer = { ...manifest.text.tokenizer, vocabulary };
  const text = { ...manifest.text, tokenizer };
  const quantisation = { int8_scale: 127, bits: 'rotated' };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, text, quantisation }));
  return folder;
}

export function openTiny(options: Pick<BulkEncoderOptions, 'decode'> = {}) {
  return openBulkEncoder({ folder: writeTinyModel(), textModule: TEXT_MODULE, threads: 1, ...options });
}

/** Small pictures, no two of which are equal. */
export async function writeImages(folder: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const pixels = Buffer.from(Array.from({ length: 48 }, (_, at) => (at * 37 + i * 101 + at * i) % 256));
    const picture = sharp(pixels, { raw: { width: 4, height: 4, channels: 3 } });
    await picture.png().toFile(join(folder, `${String(i).padStart(4, '0')}.png`));
  }
}

export const writeLines = (folder: string, lines: (object | string)[]): string => {
  const text = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  writeFileSync(join(folder, 'lines.jsonl'), text);
  return `file://${folder}/lines.jsonl`;
};

/** Runs a whole job in this process. */
export async function runJob(asked: Omit<Asked, 'sources'> & Partial<Asked>, options: { shardItems?: number } = {}) {
  const output = newFolder('out');
  const folder = openJobFolder(openStore(`file://${output}`));
  const encoder = await openTiny();
  const named = { ...COMMAND, id: `bulk_${'0'.repeat(16)}`, created_at: '2026-11-27T12:00:00.000Z' };
  const job = jobOf({ sources: [], ...asked }, { manifest: encoder.manifest, digest: null }, named);
  await folder.begin(job);
  const plan = await planJob(folder, job, { open: openPlace, machines: { cpu: ownMachine(1) }, ...options });
  const done: (BulkDone | undefined)[] = [];
  for (let shard = 0; shard < plan.shards; shard++) {
    done.push(await encodeShard({ folder, job, shard, encoder, sources: openSources(job), programs: PROGRAMS }));
  }
  await encoder.close();
  return { output, folder, job, plan, done };
}

/** The first shard of a planned job in a new folder, where nothing of it is done. */
export async function undone(output: string) {
  const again = newFolder('out');
  const folder = openJobFolder(openStore(`file://${again}`));
  const { lines } = bulkFiles(0);
  await folder.put(lines, readFileSync(join(output, lines)));
  return { output: again, folder };
}

const linesOf = (folder: string, pattern: RegExp): unknown[] =>
  readdirSync(folder)
    .filter((name) => pattern.test(name))
    .sort()
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);

export const resultsIn = (folder: string): BulkResult[] =>
  linesOf(folder, /^part-\d+\.jsonl$/).map((line) => BulkResult.parse(line));
export const errorsIn = (folder: string): BulkError[] =>
  linesOf(folder, /^errors-\d+\.jsonl$/).map((line) => BulkError.parse(line));

export const vectorOf = ({ embedding }: BulkResult): Float32Array =>
  new Float32Array(Uint8Array.from(Buffer.from(embedding, 'base64')).buffer);
