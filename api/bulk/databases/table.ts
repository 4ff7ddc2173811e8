// The table of what vectors can be loaded into: another one is a file beside this and a row here.
import { UserError } from '../../../contracts/src/user-error.ts';
import type { Database, TableAt } from './database.ts';
import { faiss } from './faiss.ts';
import { lancedb } from './lancedb.ts';
import { pgvector } from './pgvector.ts';
import { qdrant } from './qdrant.ts';
import { sqliteVec } from './sqlite-vec.ts';
import { vectorize } from './vectorize.ts';
import type { Kind } from './vectors.ts';

/** By the scheme of a place. */
export const DATABASES: Record<string, Database> = {
  sqlite: sqliteVec,
  postgres: pgvector,
  postgresql: pgvector,
  qdrant,
  lancedb,
  faiss,
  vectorize,
};

/** Letters that are a name in every one of them, unquoted too. */
const TABLE = /^[a-z_][a-z0-9_]{0,62}$/;

export interface Target extends TableAt {
  database: Database;
}

/** `SCHEME:PLACE`, and the name of a table there. */
export function targetOf(text: string, { table, key }: Omit<TableAt, 'place'>): Target {
  const colon = text.indexOf(':');
  const database = colon < 0 ? undefined : DATABASES[text.slice(0, colon)];
  const place = text.slice(colon + 1);
  if (database === undefined || place === '') {
    const forms = [...new Set(Object.values(DATABASES))].map(({ form }) => form);
    throw new UserError(`${text}: a place is one of ${forms.join(', ')}`);
  }
  if (!TABLE.test(table)) {
    throw new UserError(`--table ${table}: a to z, 0 to 9 and _, not a number first, at most 63 letters`);
  }
  return { database, place, table, key };
}

/** Refuses a type that the database cannot hold before anything is opened. */
export function refuseType({ database }: Target, { type }: Kind): void {
  if (database.types.includes(type)) return;
  throw new UserError(
    `${database.form} holds ${database.types.join(' and ')}, and these vectors are ${type}: encode with --type ${database.types[0]}`,
  );
}
