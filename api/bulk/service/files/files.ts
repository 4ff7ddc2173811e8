// Files that are sent for bulk jobs, whole or in parts, and those that batches leave: the parts of all shards, one after the other.
import type { OpenAiFile, OpenAiFileDeleted, OpenAiFileList } from '../../../../contracts/src/api/doors/batches.ts';
import type { PageQuery } from '../../../../contracts/src/api/tasks/pages.ts';
import { BulkFile } from '../../../../contracts/src/bulk/file.ts';
import type { BulkInput } from '../../../../contracts/src/bulk/job.ts';
import {
  bulkFiles,
  bulkFolder,
  FILES,
  fileIn,
  jobInputFolder,
  ownedKey,
  ownedPrefix,
  uploadPartKey,
} from '../../../../contracts/src/keys.ts';
import { SCHEMA_VERSION } from '../../../../contracts/src/schema-version.ts';
import { CoreError, quoted } from '../../../core/errors.ts';
import { encodeDocument, type ObjectStore } from '../../../registry/store.ts';
import { digestOf, newId } from '../ask.ts';
import { asNone, openJobFolder } from '../folder.ts';
import { type Owner, type Paged, pageOf, readState, type ServiceOptions } from '../states.ts';
import { isFinal, removalOf, statusOf, toSeconds } from '../status.ts';
import { type Content, contentOf } from './content.ts';

export interface SentFile {
  filename: string;
  purpose: string;
  bytes: Uint8Array;
}

export interface FileService {
  create(file: SentFile, owner: Owner): Promise<OpenAiFile>;
  list(owner: Owner, asked: PageQuery): Promise<OpenAiFileList>;
  get(id: string, owner: Owner): Promise<OpenAiFile>;
  content(id: string, owner: Owner): Promise<Content>;
  remove(id: string, owner: Owner): Promise<OpenAiFileDeleted>;
  /** One that was sent. Throws a CoreError where its asker may not see it, or it is gone. */
  /** `param`: the field that names it. */
  find(id: string, owner: Owner, param?: string): Promise<BulkFile>;
  /** Makes a file of content that is there; one of that id that is there already is answered as it is. */
  make(made: Pick<BulkFile, 'id' | 'filename' | 'bytes' | 'owner' | 'parts' | 'upload'>): Promise<BulkFile>;
}

const FILE = /^file_[0-9a-z]{16,64}$/;
const OUTPUT = /^file_(answers|errors)_([0-9a-z]{16,64})$/;

/** Where the content of a file is: in one object, or in its parts. */
const keysOf = ({ id, upload, parts }: Pick<BulkFile, 'id' | 'upload' | 'parts'>): string[] =>
  upload === null || parts === null
    ? [fileIn(jobInputFolder(id), FILES.lines)]
    : parts.map((part) => uploadPartKey(upload, part));

/** A file as the input of a job. */
export function inputOfFile(store: ObjectStore, file: BulkFile): BulkInput {
  const [jsonl = '', ...others] = keysOf(file).map((key) => `${store.uri}/${key}`);
  return others.length === 0 ? { jsonl } : { parts: [jsonl, ...others] };
}

export function createFiles({ store, onProblem }: Pick<ServiceOptions, 'store' | 'onProblem'>): FileService {
  const read = (id: string): Promise<BulkFile | undefined> =>
    openJobFolder(store, jobInputFolder(id)).read(FILES.file, BulkFile);
  /** Also one that was deleted. */
  const sent = async (id: string): Promise<BulkFile | undefined> => (FILE.test(id) ? read(id) : undefined);
  const unlessDeleted = async (id: string): Promise<BulkFile | undefined> => {
    const file = await sent(id);
    return file?.deleted ? undefined : file;
  };
  const write = (file: BulkFile) => store.put(fileIn(jobInputFolder(file.id), FILES.file), encodeDocument(file));

  const files: FileService = {
    async create({ filename, purpose, bytes }, owner) {
      if (purpose !== 'batch') {
        throw new CoreError('invalid_request', `purpose may be batch, not ${quoted(purpose)}.`, {
          param: 'purpose',
        });
      }
      if (bytes.length === 0) throw new CoreError('empty_input', 'The file is empty.', { param: 'file' });
      const id = newId('file');
      await store.put(fileIn(jobInputFolder(id), FILES.lines), bytes);
      return written(await files.make({ id, filename, bytes: bytes.length, owner, parts: null, upload: null }));
    },
    async make(made) {
      const before = await read(made.id);
      if (before) return before;
      const created_at = new Date().toISOString();
      const file: BulkFile = { schema_version: SCHEMA_VERSION, ...made, purpose: 'batch', created_at, deleted: false };
      await store.put(ownedKey('jobInputs', file), new Uint8Array());
      await write(file);
      return file;
    },
    async list(owner, asked) {
      const page = await pageOf(store, ownedPrefix('jobInputs', 'file', owner), {
        asked,
        read: unlessDeleted,
        readBefore: sent,
        keyOf: (file) => ownedKey('jobInputs', file),
        onProblem,
      });
      return listOf(page, written);
    },
    async get(id, owner) {
      const output = await outputOf(id, owner);
      if (!output) return written(await files.find(id, owner));
      const { parts, created_at } = output;
      const bytes = parts.reduce((total, { size }) => total + size, 0);
      return written({ id, filename: `${id}.jsonl`, purpose: 'batch_output', bytes, created_at });
    },
    async content(id, owner) {
      const output = await outputOf(id, owner);
      if (output) return contentOf(store, await digestOf(output.parts.map(({ digest }) => digest)), output.parts);
      const file = await files.find(id, owner);
      const { upload, parts, bytes } = file;
      const sizes = upload === null || parts === null ? [bytes] : await sizesIn(store, upload, parts);
      // What was sent never changes: its id names the bytes.
      return contentOf(
        store,
        id,
        keysOf(file).map((key, at) => ({ key, size: sizes[at] ?? 0 })),
      );
    },
    async remove(id, owner) {
      const file = await files.find(id, owner);
      await write({ ...file, deleted: true });
      for (const key of keysOf(file)) await store.put(key, new Uint8Array());
      return { id, object: 'file', deleted: true };
    },
    async find(id, owner, param = 'id') {
      const file = await unlessDeleted(id).catch(asNone(onProblem));
      if (file?.owner === owner) return file;
      throw new CoreError('not_found', `There is no file ${quoted(id)}.`, { param });
    },
  };
  return files;

  /** The parts of a batch that has ended; undefined where the id is not of such a file. */
  async function outputOf(id: string, owner: Owner) {
    const [, kind, rest] = OUTPUT.exec(id) ?? [];
    if (rest === undefined) return undefined;
    const job = `batch_${rest}`;
    const state = await readState(openJobFolder(store, bulkFolder(job))).catch(asNone(onProblem));
    if (!state || state.job.owner !== owner || !isFinal(statusOf(state, Date.now()))) {
      throw new CoreError('not_found', `There is no file ${quoted(id)}, or not yet.`, { param: 'id' });
    }
    const parts = state.done.flatMap(({ shard, files }) => {
      const path = kind === 'answers' ? bulkFiles(shard).part('jsonl') : bulkFiles(shard).errors;
      const left = files.find((file) => file.path === path);
      return left ? [{ ...left, key: `${bulkFolder(job)}/${path}` }] : [];
    });
    return { parts, created_at: state.job.created_at };
  }
}

/** Of all parts of an upload that were sent, by their ids. */
export async function sizesOfParts(store: ObjectStore, upload: string): Promise<Map<string, number>> {
  const folder = `${jobInputFolder(upload)}/`;
  return new Map((await store.list(folder)).map(({ key, size }) => [key.slice(folder.length), size]));
}

async function sizesIn(store: ObjectStore, upload: string, parts: string[]): Promise<number[]> {
  const sizes = await sizesOfParts(store, upload);
  return parts.map((part) => sizes.get(part) ?? 0);
}

export function written({
  id,
  filename,
  purpose,
  bytes,
  created_at,
}: Pick<BulkFile, 'id' | 'filename' | 'purpose' | 'bytes' | 'created_at'>): OpenAiFile {
  const times = { created_at: toSeconds(created_at), expires_at: removalOf(created_at) };
  return { id, filename, purpose, bytes, object: 'file', ...times, status: 'processed' };
}

export function listOf<S, T extends { id: string }>({ data: found, hasMore }: Paged<S>, written: (value: S) => T) {
  const data = found.map(written);
  return {
    object: 'list' as const,
    data,
    has_more: hasMore,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
  };
}
