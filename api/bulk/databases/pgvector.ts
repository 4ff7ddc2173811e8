// PostgreSQL with the extension pgvector: one table, found by name.
import { Client } from 'pg';
import { reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { COLUMNS, type Database, otherSpace, refuseForeign } from './database.ts';
import type { Kind, NamedVector } from './vectors.ts';

/** pgvector keeps floats or bits; its vectors and ours of bits have the first one highest. */
const columnOf = ({ type, dimensions }: Kind): string =>
  type === 'binary' ? `bit(${dimensions})` : `vector(${dimensions})`;

const textOf = ({ bytes }: NamedVector, { type, dimensions }: Kind): string =>
  type === 'binary'
    ? Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0'))
        .join('')
        .slice(0, dimensions)
    : `[${fromFloat32Bytes(bytes)?.join(',')}]`;

export const pgvector: Database = {
  form: 'postgres://USER@HOST/DATABASE',
  types: ['float32', 'binary'],
  async open({ place, table }, kind) {
    const client = new Client({ connectionString: `postgres:${place}` });
    // A server that goes away fails the query that waits for it; that it also says so by an event must not end the process.
    client.on('error', () => {});
    await client.connect().catch((error) => {
      throw new UserError(`PostgreSQL cannot be reached: ${reasonOf(error)}`);
    });
    try {
      await prepare(client, table, kind);
    } catch (error) {
      await client.end();
      throw error;
    }
    const column = columnOf(kind);
    const insert =
      `INSERT INTO "${table}" (${COLUMNS.join(', ')}) SELECT id, embedding::${column}, modality, $4 ` +
      'FROM unnest($1::text[], $2::text[], $3::text[]) AS row(id, embedding, modality) ' +
      'ON CONFLICT (custom_id) DO UPDATE SET embedding = excluded.embedding, ' +
      'modality = excluded.modality, space_id = excluded.space_id';
    return {
      async write(vectors) {
        const ids = vectors.map(({ custom_id }) => custom_id);
        const embeddings = vectors.map((vector) => textOf(vector, kind));
        const modalities = vectors.map(({ modality }) => modality);
        await inWords(client.query(insert, [ids, embeddings, modalities, kind.space_id]));
      },
      async finish() {
        await inWords(client.query(`ANALYZE "${table}"`));
      },
      close: () => client.end(),
    };
  },
  query: ({ table }, kind) =>
    kind.type === 'binary'
      ? `SELECT custom_id, embedding <~> $1::${columnOf(kind)} AS distance FROM "${table}" ORDER BY distance LIMIT 10`
      : `SELECT custom_id, 1 - (embedding <=> $1::vector) AS cosine FROM "${table}" ORDER BY embedding <=> $1::vector LIMIT 10`,
};

/** What the server says of rights, its disk or a connection that is gone is for the user to act on. */
async function inWords<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw new UserError(`PostgreSQL refuses it: ${reasonOf(error)}; the same command loads all vectors again`);
  }
}

async function prepare(client: Client, table: string, kind: Kind): Promise<void> {
  const column = columnOf(kind);
  await client.query('CREATE EXTENSION IF NOT EXISTS vector').catch((error) => {
    throw new UserError(`the extension pgvector is not there: ${reasonOf(error)}`);
  });
  await inWords(
    client.query(
      `CREATE TABLE IF NOT EXISTS "${table}" ` +
        `(custom_id text PRIMARY KEY, embedding ${column} NOT NULL, modality text NOT NULL, space_id text NOT NULL)`,
    ),
  );
  const { rows } = await inWords(
    client.query<{ name: string; type: string }>(
      'SELECT attname AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute ' +
        'WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped',
      [`"${table}"`],
    ),
  );
  const types = new Map(rows.map(({ name, type }) => [name, type]));
  refuseForeign(table, [...types.keys()]);
  if (types.get('embedding') !== column)
    throw new UserError(`table ${table} has ${types.get('embedding')} as embedding, not ${column}: choose --table`);
  const held = await inWords(client.query(`SELECT space_id FROM "${table}" LIMIT 1`));
  const space = held.rows[0]?.space_id;
  if (space !== undefined && space !== kind.space_id) throw otherSpace(table, space, kind);
}
