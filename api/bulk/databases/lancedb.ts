// LanceDB as a folder or a place in S3: one table.
import { codeOf, reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { type Database, otherSpace, refuseForeign } from './database.ts';
import type { Kind, NamedVector } from './vectors.ts';

/** Its library has 200 MB of native code, which users of other databases need not install. */
const PACKAGE = '@lancedb/lancedb';
const VERSION = '0.39.0';

type Row = Record<string, unknown>;
interface Table {
  schema(): Promise<{ fields: { name: string; type: { toString(): string } }[] }>;
  query(): { limit(count: number): { toArray(): Promise<Row[]> } };
  mergeInsert(key: string): {
    whenMatchedUpdateAll(): { whenNotMatchedInsertAll(): { execute(rows: Row[]): Promise<unknown> } };
  };
  close(): void;
}
interface Connection {
  tableNames(): Promise<string[]>;
  openTable(name: string): Promise<Table>;
  createTable(name: string, rows: Row[]): Promise<Table>;
  close(): void;
}

export const lancedb: Database = {
  form: 'lancedb:FOLDER',
  types: ['float32'],
  async open({ place, table }, kind) {
    const connection = await connect(place);
    const isThere = (await inWords(place, connection.tableNames())).includes(table);
    let opened = isThere ? await inWords(place, connection.openTable(table)) : undefined;
    if (opened) await refuseOther(opened, table, kind);
    return {
      async write(vectors) {
        const rows = vectors.map((vector) => rowOf(vector, kind));
        if (opened === undefined) opened = await inWords(place, connection.createTable(table, rows));
        else {
          const merge = opened.mergeInsert('custom_id').whenMatchedUpdateAll().whenNotMatchedInsertAll();
          await inWords(place, merge.execute(rows));
        }
      },
      async finish() {},
      async close() {
        opened?.close();
        connection.close();
      },
    };
  },
  query: ({ table }) => `(await db.openTable("${table}")).search(vector).distanceType("cosine").limit(10).toArray()`,
};

async function connect(place: string): Promise<Connection> {
  let library: { connect(place: string): Promise<Connection> };
  try {
    library = await import(PACKAGE);
  } catch (error) {
    if (codeOf(error) === 'ERR_MODULE_NOT_FOUND') {
      throw new UserError(`LanceDB's library is not installed: npm install --no-save ${PACKAGE}@${VERSION}`);
    }
    throw error;
  }
  return inWords(place, library.connect(place));
}

/** What LanceDB says of the folder, the bucket or the disk is for the user to act on. */
async function inWords<T>(place: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw new UserError(`LanceDB cannot use ${place}: ${reasonOf(error)}; the same command loads all vectors again`);
  }
}

async function refuseOther(opened: Table, table: string, kind: Kind): Promise<void> {
  const { fields } = await opened.schema();
  const vector = fields.find(({ name }) => name === 'vector');
  const wanted = `FixedSizeList[${kind.dimensions}]<Float32>`;
  if (vector?.type.toString() !== wanted) {
    throw new UserError(`table ${table} has ${vector?.type ?? 'no column'} as vector, not ${wanted}: choose --table`);
  }
  refuseForeign(
    table,
    fields.map(({ name }) => name),
    ['custom_id', 'modality', 'space_id'],
  );
  const [row] = await opened.query().limit(1).toArray();
  const space = row?.space_id;
  if (typeof space === 'string' && space !== kind.space_id) throw otherSpace(table, space, kind);
}

function rowOf({ custom_id, modality, bytes }: NamedVector, { space_id }: Kind): Row {
  return { custom_id, vector: Array.from(fromFloat32Bytes(bytes) ?? []), modality, space_id };
}
