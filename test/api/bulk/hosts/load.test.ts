// `npm run load`: every database that is named finds what a search by the closed form finds, and refuses what it must not hold.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { getLoadablePath } from 'sqlite-vec';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNames } from '../../../../api/bulk/databases/names.ts';
import { readJobVectors } from '../../../../api/bulk/databases/vectors.ts';
import { openJobFolder } from '../../../../api/bulk/service/folder.ts';
import { openStore } from '../../../../api/registry/stores/open.ts';
import { warmPython } from '../../../support/python.ts';
import { distances, type Encoded, encode, floatsOf, LOAD, load, QDRANT_KEY, serve } from '../databases/loading.ts';
import { newFolder, runJob, writeImages, writeLines } from '../jobs.ts';

const TYPES = ['float32', 'int8', 'binary'] as const;
type Type = (typeof TYPES)[number];
const encoded = {} as Record<Type, Encoded>;
let python = '';
beforeAll(async () => {
  python = await warmPython();
  for (const type of TYPES) encoded[type] = await encode(type);
}, 900_000);

/** Every name is found once, each as far away as it is, the nearest first. */
function check(found: { name: string; distance: number }[], type: Type): void {
  const expected = distances(encoded[type], type);
  expect(new Set(found.map(({ name }) => name))).toEqual(new Set(expected.keys()));
  expect(found).toHaveLength(expected.size);
  for (const { name, distance } of found) expect(distance).toBeCloseTo(expected.get(name) ?? Number.NaN, 5);
  const order = found.map(({ distance }) => distance);
  expect(order).toEqual(order.toSorted((a, b) => a - b));
}

/** A job whose model has another space. */
function inOtherSpace({ output }: Encoded): string {
  const folder = newFolder('other');
  for (const name of readdirSync(output).filter((each) => each.endsWith('.json') || each.endsWith('.jsonl'))) {
    const text = readFileSync(join(output, name), 'utf8');
    writeFileSync(join(folder, name), text.replaceAll(`sha256:${'a'.repeat(64)}`, `sha256:${'b'.repeat(64)}`));
  }
  return folder;
}

describe('SQLite with sqlite-vec', () => {
  const READ = { float32: 'vec_f32', int8: 'vec_int8', binary: 'vec_bit' } as const;

  test.each(TYPES)('finds %s', async (type) => {
    const { output, vectors } = encoded[type];
    const file = join(newFolder('sqlite'), 'vectors.db');
    for (let time = 0; time < 2; time++) {
      const { code, stdout, stderr } = await load(output, `sqlite:${file}`, '--json');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toMatchObject({ loaded: 30, repeated: 0, type, dimensions: 8, table: 'vectors' });
    }
    const db = new DatabaseSync(file, { allowExtension: true });
    db.loadExtension(getLoadablePath());
    const nearest = db.prepare(
      `SELECT custom_id, distance FROM vectors WHERE embedding MATCH ${READ[type]}(?) ORDER BY distance LIMIT 100`,
    );
    const found = nearest.all(vectors[0] ?? '');
    db.close();
    check(
      found.map(({ custom_id, distance }) => ({ name: String(custom_id), distance: Number(distance) })),
      type,
    );
  });

  test('refuses a table with vectors of another type', async () => {
    const file = join(newFolder('sqlite'), 'vectors.db');
    expect(await load(encoded.int8.output, `sqlite:${file}`)).toMatchObject({ code: 0 });
    const other = await load(encoded.float32.output, `sqlite:${file}`);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('choose --table') });
  });

  test('refuses files that are not what the shards left', async () => {
    const file = join(newFolder('sqlite'), 'vectors.db');
    const damaged = await load(inOtherSpace(encoded.float32), `sqlite:${file}`);
    expect(damaged).toMatchObject({ code: 2, stderr: expect.stringContaining('is not the file that its shard left') });
  });
});

describe('PostgreSQL with pgvector', () => {
  let server: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => {
    server = await serve(python, 'postgres_server.py', newFolder('postgres'));
  }, 120_000);
  afterAll(() => server.close());

  /** Asks as somebody else would, and lets go of the server. */
  async function ask(sql: string, values: unknown[] = []) {
    const client = new Client({ connectionString: server.line });
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  }

  test.each(['float32', 'binary'] as const)('finds %s', async (type) => {
    const { output, vectors } = encoded[type];
    for (let time = 0; time < 2; time++) {
      expect(await load(output, server.line, '--table', type)).toMatchObject({ code: 0, stderr: '' });
    }
    const [first = Buffer.alloc(0)] = vectors;
    // The server of the tests has a pgvector that knows no operator for bits yet.
    const [distance, query] =
      type === 'binary'
        ? ['bit_count(embedding # $1::bit(8))', (first[0] ?? 0).toString(2).padStart(8, '0')]
        : ['embedding <=> $1::vector', `[${floatsOf(first)}]`];
    const sql = `SELECT custom_id AS name, (${distance})::float8 AS distance FROM "${type}" ORDER BY 2`;
    check(await ask(sql, [query]), type);
  });

  test('refuses vectors of another space or type', async () => {
    expect(await load(encoded.float32.output, server.line, '--table', 'held')).toMatchObject({ code: 0 });
    const bits = await load(encoded.binary.output, server.line, '--table', 'held');
    expect(bits).toMatchObject({ code: 2, stderr: expect.stringContaining('vector(8) as embedding, not bit(8)') });
    await ask("UPDATE held SET space_id = 'sha256:c'");
    const other = await load(encoded.float32.output, server.line, '--table', 'held');
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('holds vectors of space sha256:c') });
  });

  test('refuses a table of somebody else in a sentence, and one that its user may not make', async () => {
    const refused = async (place: string, table: string) => {
      const { code, stderr } = await load(encoded.float32.output, place, '--table', table);
      expect(code).toBe(2);
      expect(stderr).not.toContain(' at ');
      return stderr;
    };
    await ask('CREATE EXTENSION IF NOT EXISTS vector');
    await ask('CREATE TABLE mine (id int PRIMARY KEY, embedding vector(8))');
    expect(await refused(server.line, 'mine')).toContain(
      'table mine is another one, without custom_id, modality, space_id: choose --table',
    );
    await ask('CREATE TABLE keyless (custom_id text, embedding vector(8), modality text, space_id text)');
    expect(await refused(server.line, 'keyless')).toContain('PostgreSQL refuses it: there is no unique');
    await ask('CREATE ROLE plain LOGIN');
    await ask('REVOKE CREATE ON SCHEMA public FROM PUBLIC');
    const plain = server.line.replace('//postgres:@', '//plain:@');
    expect(plain).not.toBe(server.line);
    expect(await refused(plain, 'fresh')).toContain('PostgreSQL refuses it: permission denied for schema public');
  });

  test('writes each column by its name, whatever their order is', async () => {
    await ask('CREATE EXTENSION IF NOT EXISTS vector');
    await ask(
      'CREATE TABLE turned (space_id text, modality text, embedding vector(8), custom_id text PRIMARY KEY, note text)',
    );
    expect(await load(encoded.float32.output, server.line, '--table', 'turned')).toMatchObject({ code: 0, stderr: '' });
    const rows = await ask('SELECT DISTINCT modality, space_id FROM turned');
    expect(rows).toEqual([{ modality: 'image', space_id: `sha256:${'a'.repeat(64)}` }]);
  });

  test('says what it cannot hold, and where nothing listens', async () => {
    const numbers = await load(encoded.int8.output, server.line);
    expect(numbers).toMatchObject({ code: 2, stderr: expect.stringContaining('encode with --type float32') });
    const nobody = await load(encoded.float32.output, 'postgres://nobody@127.0.0.1:1/none');
    expect(nobody).toMatchObject({ code: 2, stderr: expect.stringContaining('PostgreSQL cannot be reached') });
  });
});

describe('Qdrant, by the local mode of its own client', () => {
  let server: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => {
    server = await serve(python, 'qdrant_server.py', QDRANT_KEY);
  }, 120_000);
  afterAll(() => server.close());

  test('finds float32, and refuses another space', async () => {
    const { output, vectors } = encoded.float32;
    const url = `http://127.0.0.1:${server.line}`;
    for (let time = 0; time < 2; time++) {
      expect(await load(output, `qdrant:${url}`)).toMatchObject({ code: 0, stderr: '' });
    }
    const ask = (path: string, body: object) =>
      fetch(`${url}/collections/vectors/points${path}`, {
        method: 'POST',
        headers: { 'api-key': QDRANT_KEY },
        body: JSON.stringify(body),
      });
    const answer = await ask('/query', { query: floatsOf(vectors[0] ?? Buffer.alloc(0)), limit: 100 });
    const { result } = (await answer.json()) as {
      result: { points: { score: number; payload: { custom_id: string } }[] };
    };
    check(
      result.points.map(({ score, payload }) => ({ name: payload.custom_id, distance: 1 - score })),
      'float32',
    );
    const floats = await load(inOtherSpace(encoded.float32), `qdrant:${url}`);
    expect(floats).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(`holds vectors of space sha256:${'a'.repeat(64)}`),
    });
    const held = await load(encoded.binary.output, `qdrant:${url}`);
    expect(held).toMatchObject({ code: 2, stderr: expect.stringContaining('encode with --type float32') });
  });
});

test.each(['float32', 'binary'] as const)('faiss finds %s in the file', async (type) => {
  const file = join(newFolder('faiss'), 'vectors.faiss');
  expect(await load(encoded[type].output, `faiss:${file}`)).toMatchObject({ code: 0, stderr: '' });
  const reader = join(import.meta.dirname, '../databases/read_faiss.py');
  const read = JSON.parse(execFileSync(python, [reader, file, type], { encoding: 'utf8' }));
  const names = readFileSync(`${file}.ids.jsonl`, 'utf8').trim().split('\n');
  expect(read.count).toBe(30);
  check(
    read.rows.map((row: number, at: number) => ({
      name: JSON.parse(names[row] ?? '').custom_id,
      distance: type === 'binary' ? read.scores[at] : 1 - read.scores[at],
    })),
    type,
  );
});

test("lines for Vectorize keep the numbers, and a name beyond Vectorize's 64 bytes in the metadata", async () => {
  const name = 'a photograph whose name is longer than Vectorize lets an id be, by far.png';
  const line = (custom_id: string) => JSON.stringify({ custom_id, image: PIXEL });
  const input = join(newFolder('in'), 'lines.jsonl');
  writeFileSync(input, `${line('short')}\n${line(name)}\n${line('short')}`);
  const { output } = await runJob({ input: { jsonl: `file://${input}` } });
  const file = join(newFolder('vectorize'), 'vectors.ndjson');
  const { code, stdout } = await load(output, `vectorize:${file}`, '--json');
  expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, loaded: 2, repeated: 1 });
  const lines = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((each) => JSON.parse(each));
  expect(lines.map(({ metadata }) => metadata.custom_id)).toEqual(['short', name]);
  expect(lines[0].id).toBe('short');
  expect(lines[1].id).toMatch(/^[0-9a-f]{64}$/);
  expect(Math.hypot(...lines[0].values)).toBeCloseTo(1, 5);
});
/** One red pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC';

const LANCEDB = join(import.meta.dirname, '../../../../node_modules/@lancedb/lancedb');
test.skipIf(!existsSync(LANCEDB))('LanceDB finds float32', async () => {
  const { output, vectors } = encoded.float32;
  const folder = newFolder('lancedb');
  for (let time = 0; time < 2; time++) {
    expect(await load(output, `lancedb:${folder}`)).toMatchObject({ code: 0, stderr: '' });
  }
  const lancedb = await import(LANCEDB.concat('/dist/index.js'));
  const table = await (await lancedb.connect(folder)).openTable('vectors');
  const nearest = table.search(floatsOf(vectors[0] ?? Buffer.alloc(0))).distanceType('cosine');
  const rows: { custom_id: string; _distance: number }[] = await nearest.limit(100).toArray();
  check(
    rows.map(({ custom_id, _distance }) => ({ name: custom_id, distance: _distance })),
    'float32',
  );
});

/** Two shards: of the first, a tar that is none, every item has failed. */
async function halfFailed(): Promise<string> {
  const folder = newFolder('tars');
  await writeImages(folder, 3);
  execFileSync('tar', ['-cf', 'b.tar', '0000.png', '0001.png', '0002.png'], { cwd: folder });
  writeFileSync(join(folder, 'a.tar'), 'no tar');
  const { output, done } = await runJob({ input: { tars: ['a', 'b'].map((name) => `file://${folder}/${name}.tar`) } });
  expect(done).toMatchObject([{ succeeded: 0 }, { succeeded: 3 }]);
  return output;
}

test('a shard without a vector has nothing to load', async () => {
  const output = await halfFailed();
  const { count, batches } = await readJobVectors(openJobFolder(openStore(`file://${output}`)));
  const sizes: number[] = [];
  for await (const batch of batches()) sizes.push(batch.length);
  expect([count, sizes]).toEqual([3, [3]]);
  const file = join(newFolder('faiss'), 'vectors.faiss');
  const { stdout } = await load(output, `faiss:${file}`, '--json');
  expect(JSON.parse(stdout)).toMatchObject({ loaded: 3, repeated: 0 });
});

test.skipIf(!existsSync(LANCEDB))('LanceDB takes a job whose first shard has no vector', async () => {
  const folder = newFolder('lancedb');
  expect(await load(await halfFailed(), `lancedb:${folder}`)).toMatchObject({ code: 0, stderr: '' });
  const lancedb = await import(LANCEDB.concat('/dist/index.js'));
  expect(await (await (await lancedb.connect(folder)).openTable('vectors')).countRows()).toBe(3);
});

test('a job without any vector is refused with where it is said why', async () => {
  const { output } = await runJob({
    input: { jsonl: writeLines(newFolder('in'), [{ custom_id: 'a', image: 'AAAA' }]) },
  });
  const { code, stderr } = await load(output, `sqlite:${join(newFolder('sqlite'), 'vectors.db')}`);
  expect([code, stderr]).toEqual([2, expect.stringContaining('holds no vector: every item failed (errors-*.jsonl')]);
});

describe('vectors of one name', () => {
  /** Two shards: of five names, two are in both. */
  const repeating = async () => {
    const lines = ['a', 'b', 'c', 'b', 'c', 'd', 'e'].map((custom_id) => ({ custom_id, image: PIXEL }));
    const input = { jsonl: writeLines(newFolder('in'), lines) };
    return (await runJob({ input }, { shardItems: 3 })).output;
  };

  const rowsIn = (file: string): unknown => {
    const db = new DatabaseSync(file, { allowExtension: true });
    db.loadExtension(getLoadablePath());
    const row = db.prepare('SELECT count(*) AS count FROM vectors').get();
    db.close();
    return row?.count;
  };

  test('are counted over all shards: the later one replaces the other, which is said', async () => {
    const output = await repeating();
    const file = join(newFolder('sqlite'), 'vectors.db');
    for (let time = 0; time < 2; time++) {
      const { stdout } = await load(output, `sqlite:${file}`, '--json');
      expect(JSON.parse(stdout)).toMatchObject({ loaded: 5, repeated: 2, doubled: 0 });
    }
    expect(rowsIn(file)).toBe(5);
    const { stdout } = await load(output, `sqlite:${file}`);
    expect(stdout).toContain('5 vectors of');
    expect(stdout).toContain('(2 more had the name of a later one, which replaced them: give each item a custom_id');
  });

  test('are both in an index of faiss, which is said', async () => {
    const output = await repeating();
    const file = join(newFolder('faiss'), 'vectors.faiss');
    const { stdout } = await load(output, `faiss:${file}`);
    expect(stdout).toContain('7 vectors of');
    expect(stdout).toContain('(2 of them have the name of an earlier one, which is there, too: give each item');
    expect(readFileSync(`${file}.ids.jsonl`, 'utf8').trim().split('\n')).toHaveLength(7);
  });

  test('are none where tars of one name are in two folders', async () => {
    const folder = newFolder('tars');
    await writeImages(folder, 3);
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, name));
      execFileSync('tar', ['-cf', `${name}/images.tar`, '0000.png', '0001.png', '0002.png'], { cwd: folder });
    }
    const tars = ['a', 'b'].map((name) => `file://${folder}/${name}/images.tar`);
    const { output } = await runJob({ input: { tars } });
    const file = join(newFolder('sqlite'), 'vectors.db');
    const { stdout } = await load(output, `sqlite:${file}`, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ loaded: 6, repeated: 0 });
    expect(rowsIn(file)).toBe(6);
  });
});

test('names are told from each other, however many there are, up to as many as were said', () => {
  const isNew = createNames(10_000);
  const names = Array.from({ length: 10_000 }, (_, at) => `photos/${at}.png`);
  expect(names.filter(isNew)).toHaveLength(10_000);
  expect(names.filter(isNew)).toHaveLength(0);
});

test.each([
  ['nowhere', 'a place is one of sqlite:FILE'],
  ['mysql:x', 'a place is one of sqlite:FILE'],
])('%s is refused with what there is', async (place, message) => {
  expect(await load(encoded.float32.output, place)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining(message),
  });
});

test('a place that no file can be made at is told before anything is loaded', async () => {
  const folder = newFolder('places');
  writeFileSync(join(folder, 'note.db'), 'no database, and longer than the header of one');
  const refused = async (place: string) => {
    const { code, stdout, stderr } = await load(encoded.float32.output, place);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toContain(' at ');
    return stderr;
  };
  expect(await refused(`sqlite:${folder}/note.db`)).toContain('file is not a database');
  expect(await refused(`sqlite:${folder}/gone/vectors.db`)).toContain('unable to open database file');
  for (const scheme of ['faiss', 'vectorize']) {
    expect(await refused(`${scheme}:${folder}/gone/vectors`)).toContain(`there is no folder ${folder}/gone`);
    expect(await refused(`${scheme}:${folder}`)).toContain('is a folder: name a file');
  }
});

test.each(['faiss', 'vectorize'])(
  '%s: room for a part of the last bytes leaves no file that looks whole',
  async (scheme) => {
    const lines = Array.from({ length: 200 }, (_, at) => ({ custom_id: `${at}`, image: PIXEL }));
    const { output } = await runJob({ input: { jsonl: writeLines(newFolder('in'), lines) } });
    const whole = join(newFolder('whole'), 'vectors');
    expect(await load(output, `${scheme}:${whole}`)).toMatchObject({ code: 0 });
    const file = join(newFolder('full'), 'vectors');
    const most = `ulimit -f ${Math.ceil(statSync(whole).size / 1024) - 1}; exec "$@"`;
    const words = ['-c', most, 'bash', process.execPath, LOAD, output, `${scheme}:${file}`];
    const { status, stderr } = spawnSync('bash', words, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, expect.stringContaining('EFBIG')]);
    expect(existsSync(file)).toBe(false);
  },
);

test('a folder without a finished job with lines is refused', async () => {
  const file = join(newFolder('faiss'), 'vectors.faiss');
  expect(await load(newFolder('empty'), `faiss:${file}`)).toMatchObject({ code: 2 });
  const input = newFolder('in');
  writeFileSync(join(input, 'pixel.png'), Buffer.from(PIXEL, 'base64'));
  const { output } = await runJob({ input: { prefix: `file://${input}` }, formats: ['npy'] });
  const { code, stderr } = await load(output, `faiss:${file}`);
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('--format jsonl') });
  expect(existsSync(file)).toBe(false);
});
