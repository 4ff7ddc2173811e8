// Encodes one shard of a bulk job, lines in and lines out. Resumable: what a stopped run has written is not done again.

import { createReadStream } from 'node:fs';
import { appendFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { BulkDone, type BulkError, BulkLine, type BulkResult, BulkShard } from '../../contracts/src/api/bulk.ts';
import type { ErrorCode } from '../../contracts/src/api/error.ts';
import { LIMITS } from '../../contracts/src/api/limits.ts';
import { bulkFiles } from '../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../contracts/src/schema-version.ts';
import { UserError } from '../../contracts/src/user-error.ts';
import { isBase64 } from '../core/vectors/base64.ts';
import { digestOfFile } from '../registry/stores/hash.ts';
import type { Encode } from './encode.ts';
import { hasCode, readIfPresent } from './files.ts';

export interface Progress {
  done: number;
  total: number;
  seconds: number;
  seconds_left: number | null;
}
export interface ShardJob {
  input: string;
  output: string;
  shard: number;
  space_id: string;
  encode: Encode;
  onProgress?: (progress: Progress) => void;
  /** Checked between chunks: an aborted shard stops there, whole lines written. */
  signal?: AbortSignal;
}

/** Images per chunk: large enough for full batches, small enough that a stop costs a second. */
const CHUNK = 32;

/** Undefined when it was stopped before the end; run it again to go on. */
export async function encodeShard(job: ShardJob): Promise<BulkDone | undefined> {
  const files = bulkFiles(job.shard);
  const paths = {
    input: join(job.input, files.input),
    started: join(job.output, files.started),
    done: join(job.output, files.done),
    part: join(job.output, files.results),
    errors: join(job.output, files.errors),
  };
  await mkdir(job.output, { recursive: true });
  const { digest, total } = await survey(paths.input);
  const shard: BulkShard = {
    schema_version: SCHEMA_VERSION,
    shard: job.shard,
    input: digest,
    space_id: job.space_id,
  };
  const finished = await readJson(paths.done, BulkDone);
  if (finished && same(finished, shard)) return finished;
  const started = await readJson(paths.started, BulkShard);
  if (!started || !same(started, shard)) {
    for (const path of [paths.done, paths.part, paths.errors]) await rm(path, { force: true });
    await writeWhole(paths.started, shard);
  }
  const succeeded = await linesWritten(paths.part);
  const failed = await linesWritten(paths.errors);
  const already = succeeded.size + failed.size;
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;

  for await (const chunk of chunksOf(paths.input, (line) => succeeded.has(line) || failed.has(line))) {
    if (job.signal?.aborted) return undefined;
    const { results, errors } = await encodeChunk(job, chunk);
    await appendLines(paths.part, results);
    await appendLines(paths.errors, errors);
    for (const { line } of results) succeeded.add(line);
    for (const { line } of errors) failed.add(line);
    const done = succeeded.size + failed.size;
    const left = ((total - done) * seconds()) / Math.max(1, done - already);
    job.onProgress?.({ done, total, seconds: seconds(), seconds_left: done > already ? left : null });
  }
  const counts = { lines: total, succeeded: succeeded.size, failed: failed.size, seconds: seconds() };
  // Both files exist, even where one of them has no line.
  await appendLines(paths.part, []);
  await appendLines(paths.errors, []);
  await writeWhole(paths.done, { ...shard, ...counts });
  await rm(paths.started);
  return { ...shard, ...counts };
}

interface NumberedLine {
  line: number;
  text: string;
}

async function encodeChunk(job: ShardJob, chunk: NumberedLine[]) {
  const errors: BulkError[] = [];
  const named: { line: number; custom_id: string; bytes: Uint8Array }[] = [];
  for (const { line, text } of chunk) {
    const read = await readLine(job.input, text);
    if ('bytes' in read) named.push({ line, ...read });
    else errors.push({ line, ...read });
  }
  const verdicts = await job.encode(named.map(({ bytes }) => bytes));
  const results: BulkResult[] = [];
  named.forEach(({ line, custom_id }, index) => {
    const verdict = verdicts[index];
    if (verdict?.status === 'ok') {
      const { embedding, width, height } = verdict;
      results.push({ line, custom_id, embedding, width, height });
    } else if (verdict && ['encoder_error', 'encoder_timeout'].includes(verdict.code)) {
      // Not the image's fault: a rerun must try it again.
      throw new Error(`line ${line}: ${verdict.message}`);
    } else if (verdict) errors.push({ line, custom_id, code: verdict.code, message: verdict.message });
  });
  return { results, errors: errors.toSorted((a, b) => a.line - b.line) };
}

interface LineError {
  custom_id: string | null;
  code: ErrorCode;
  message: string;
}

async function readLine(folder: string, text: string): Promise<{ custom_id: string; bytes: Uint8Array } | LineError> {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return { custom_id: null, code: 'malformed_json', message: 'the line is not JSON' };
  }
  const line = BulkLine.safeParse(document);
  if (!line.success) {
    return {
      custom_id: null,
      code: 'invalid_request',
      message: 'a line is {"custom_id", "image"} or {"custom_id", "path"}',
    };
  }
  const { custom_id } = line.data;
  if ('path' in line.data) return readImageFile(folder, custom_id, line.data.path);
  const base64 = line.data.image.replace(/^data:[\w/+.-]*;base64,/, '');
  return { custom_id, bytes: Buffer.from(base64, isBase64(base64) ? 'base64' : 'utf8') };
}

/** The line names no file. Any other error, such as a missing permission, is not the line's fault and ends the job. */
const NO_SUCH_FILE = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG', 'ELOOP', 'ERR_INVALID_ARG_VALUE'];

/** Only files of the input folder: a job must not be a way to read others. */
async function readImageFile(folder: string, custom_id: string, path: string) {
  const inside = relative(folder, join(folder, path));
  if (inside.startsWith('..')) {
    return {
      custom_id,
      code: 'invalid_request',
      message: `${path} is outside of the input folder`,
    } satisfies LineError;
  }
  try {
    const parts: Buffer[] = [];
    // One byte more than allowed is read, so that too large a file is recognised.
    const start = createReadStream(join(folder, path), { end: LIMITS.image_bytes });
    for await (const part of start as AsyncIterable<Buffer>) parts.push(part);
    return { custom_id, bytes: Buffer.concat(parts) };
  } catch (error) {
    if (!hasCode(error, ...NO_SUCH_FILE)) throw error;
    return {
      custom_id,
      code: 'not_found',
      message: `there is no file ${path} in the input folder`,
    } satisfies LineError;
  }
}

async function survey(path: string): Promise<{ digest: string; total: number }> {
  const digest = await digestOfFile(path).catch((error: unknown) => {
    throw hasCode(error, 'ENOENT') ? new UserError(`there is no shard at ${path}`) : error;
  });
  let total = 0;
  for await (const { text } of numbered(path)) if (text !== '') total += 1;
  return { digest, total };
}

async function* numbered(path: string): AsyncGenerator<NumberedLine> {
  let line = 0;
  for await (const text of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    yield { line, text: text.trim() };
    line += 1;
  }
}

async function* chunksOf(path: string, isDone: (line: number) => boolean): AsyncGenerator<NumberedLine[]> {
  let chunk: NumberedLine[] = [];
  for await (const entry of numbered(path)) {
    if (entry.text === '' || isDone(entry.line)) continue;
    chunk.push(entry);
    if (chunk.length === CHUNK) {
      yield chunk;
      chunk = [];
    }
  }
  if (chunk.length > 0) yield chunk;
}

/** The input lines that an output file answers. A last line without its end is from a killed run: it is cut off. */
async function linesWritten(path: string): Promise<Set<number>> {
  const text = (await readIfPresent(path)) ?? '';
  const whole = text.slice(0, text.lastIndexOf('\n') + 1);
  if (whole.length < text.length) await writeFile(path, whole);
  const lines = whole.split('\n').filter((line) => line !== '');
  return new Set(lines.map((line) => (JSON.parse(line) as { line: number }).line));
}

async function appendLines(path: string, documents: object[]): Promise<void> {
  await appendFile(path, documents.map((document) => `${JSON.stringify(document)}\n`).join(''));
}

/** The file appears whole or not at all. */
async function writeWhole(path: string, document: object): Promise<void> {
  await writeFile(`${path}.tmp`, `${JSON.stringify(document)}\n`);
  await rename(`${path}.tmp`, path);
}

async function readJson<T>(path: string, schema: { parse(document: unknown): T }): Promise<T | undefined> {
  const text = await readIfPresent(path);
  return text === undefined ? undefined : schema.parse(JSON.parse(text));
}

function same(a: BulkShard, b: BulkShard): boolean {
  return a.shard === b.shard && a.input === b.input && a.space_id === b.space_id;
}
