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
import { CoreError } from '../../../core/errors.ts';
import { encodeDocument, type ObjectStore } from '../../../registry/store.ts';
import { newId } from '../ask.ts';
import { openJobFolder } from '../folder.ts';
import { type Owner, type Paged, pageOf, readState } from '../states.ts';
import { isFinal, removalOf, statusOf, toSeconds } from '../status.ts';

export interface SentFile {
  filename: string;
  purpose: string;
  bytes: Uint8Array;
}

export interface FileService {
  create(file: SentFile, owner: Owner): Promise<OpenAiFile>;
  list(owner: Owner, asked: PageQuery): Promise<OpenAiFileList>;
  get(id: string, owner: Owner): Promise<OpenAiFile>;
  content(id: string, owner: Owner): Promise<AsyncIterable<Uint8Array>>;
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

export function createFiles(store: ObjectStore): FileService {
  const read = async (id: string): Promise<BulkFile | undefined> => {
    const text = await (await store.get(fileIn(jobInputFolder(id), FILES.file)))?.text();
    return text === undefined ? undefined : BulkFile.parse(JSON.parse(text));
  };
  const unlessDeleted = async (id: string): Promise<BulkFile | undefined> => {
    const file = FILE.test(id) ? await read(id) : undefined;
    return file?.deleted ? undefined : file;
  };
  const write = (file: BulkFile) => store.put(fileIn(jobInputFolder(file.id), FILES.file), encodeDocument(file));

  const files: FileService = {
    async create({ filename, purpose, bytes }, owner) {
      if (purpose !== 'batch') {
        throw new CoreError('invalid_request', `purpose may be batch, not ${JSON.stringify(purpose)}.`, {
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
        keyOf: (file) => ownedKey('jobInputs', file),
      });
      return listOf(page, written);
    },
    async get(id, owner) {
      const output = await outputOf(store, id, owner);
      if (!output) return written(await files.find(id, owner));
      const { sizes, created_at } = output;
      const bytes = sizes.reduce((total, size) => total + size, 0);
      return written({ id, filename: `${id}.jsonl`, purpose: 'batch_output', bytes, created_at });
    },
    async content(id, owner) {
      const output = await outputOf(store, id, owner);
      if (output) return joined(store, output.keys);
      const file = await files.find(id, owner);
      return joined(store, keysOf(file));
    },
    async remove(id, owner) {
      const file = await files.find(id, owner);
      await write({ ...file, deleted: true });
      for (const key of keysOf(file)) await store.put(key, new Uint8Array());
      return { id, object: 'file', deleted: true };
    },
    async find(id, owner, param = 'id') {
      const file = await unlessDeleted(id);
      if (file?.owner === owner) return file;
      throw new CoreError('not_found', `There is no file ${JSON.stringify(id)}.`, { param });
    },
  };
  return files;
}

/** The parts of a batch that has ended; undefined where the id is not of such a file. */
async function outputOf(store: ObjectStore, id: string, owner: Owner) {
  const [, kind, rest] = OUTPUT.exec(id) ?? [];
  if (rest === undefined) return undefined;
  const job = `batch_${rest}`;
  const state = await readState(openJobFolder(store, bulkFolder(job)));
  if (!state || state.job.owner !== owner || !isFinal(statusOf(state, Date.now()))) {
    throw new CoreError('not_found', `There is no file ${JSON.stringify(id)}, or not yet.`, { param: 'id' });
  }
  const parts = state.done.map(({ shard, files }) => {
    const path = kind === 'answers' ? bulkFiles(shard).part('jsonl') : bulkFiles(shard).errors;
    return { key: `${bulkFolder(job)}/${path}`, size: files.find((file) => file.path === path)?.size ?? 0 };
  });
  return { keys: parts.map(({ key }) => key), sizes: parts.map(({ size }) => size), created_at: state.job.created_at };
}

/** One after the other: a store may allow only few to be open. */
async function* joined(store: ObjectStore, keys: string[]): AsyncGenerator<Uint8Array> {
  for (const key of keys) {
    const object = await store.get(key);
    if (object) yield* object.stream();
  }
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
