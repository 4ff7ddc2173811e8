// SQLite with the extension sqlite-vec: one virtual table in a file.
import { DatabaseSync } from 'node:sqlite';
import { getLoadablePath } from 'sqlite-vec';
import { codeOf, reasonOf, UserError } from '../../../contracts/src/user-error.ts';
import { type Database, otherSpace, refusePartialBytes } from './database.ts';
import type { Kind } from './vectors.ts';

/** For another program to end its transaction. */
const BUSY_MS = 10_000;

/** By type: the column, and the function that reads its bytes. Bits have the Hamming distance and no other. */
const COLUMNS = {
  float32: { column: (d: number) => `float[${d}] distance_metric=cosine`, read: 'vec_f32(?)' },
  int8: { column: (d: number) => `int8[${d}] distance_metric=cosine`, read: 'vec_int8(?)' },
  binary: { column: (d: number) => `bit[${d}]`, read: 'vec_bit(?)' },
} as const;

const createTable = (table: string, { type, dimensions }: Kind): string =>
  `CREATE VIRTUAL TABLE "${table}" USING vec0(custom_id TEXT PRIMARY KEY, ` +
  `embedding ${COLUMNS[type].column(dimensions)}, +modality TEXT, +space_id TEXT)`;

export const sqliteVec: Database = {
  form: 'sqlite:FILE',
  types: ['float32', 'int8', 'binary'],
  async open({ place, table }, kind) {
    refusePartialBytes(kind);
    const db = inWords(place, () => new DatabaseSync(place, { allowExtension: true, timeout: BUSY_MS }));
    try {
      db.loadExtension(getLoadablePath());
      inWords(place, () => prepare(db, table, kind));
    } catch (error) {
      db.close();
      throw error;
    }
    // The extension knows no INSERT OR REPLACE.
    const remove = db.prepare(`DELETE FROM "${table}" WHERE custom_id = ?`);
    const insert = db.prepare(`INSERT INTO "${table}" VALUES (?, ${COLUMNS[kind.type].read}, ?, ?)`);
    return {
      async write(vectors) {
        inWords(place, () => {
          db.exec('BEGIN IMMEDIATE');
          try {
            for (const { custom_id, modality, bytes } of vectors) {
              remove.run(custom_id);
              insert.run(custom_id, bytes, modality, kind.space_id);
            }
            db.exec('COMMIT');
          } catch (error) {
            // A full disk has rolled it back already.
            if (db.isTransaction) db.exec('ROLLBACK');
            throw error;
          }
        });
      },
      async finish() {},
      async close() {
        db.close();
      },
    };
  },
  query: ({ table }, { type }) =>
    `SELECT custom_id, distance FROM "${table}" WHERE embedding MATCH ${COLUMNS[type].read} ORDER BY distance LIMIT 10`,
};

/** What SQLite says of the file, its lock or the disk is for the user to act on. */
function inWords<T>(place: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) !== 'ERR_SQLITE_ERROR') throw error;
    throw new UserError(`SQLite cannot use ${place}: ${reasonOf(error)}; the same command loads all vectors again`);
  }
}

function prepare(db: DatabaseSync, table: string, kind: Kind): void {
  const wanted = createTable(table, kind);
  const there = db.prepare('SELECT sql FROM sqlite_master WHERE name = ?').get(table);
  if (there === undefined) {
    db.exec(wanted);
    return;
  }
  if (there.sql !== wanted) throw new UserError(`table ${table} is another one (${there.sql}): choose --table`);
  const row = db.prepare(`SELECT space_id FROM "${table}" LIMIT 1`).get();
  if (row !== undefined && row.space_id !== kind.space_id) throw otherSpace(table, String(row.space_id), kind);
}
