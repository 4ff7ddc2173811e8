// Qdrant by its REST interface: one collection, its points named by UUIDs that follow from `custom_id`.
import { createHash } from 'node:crypto';
import { UserError } from '../../../contracts/src/user-error.ts';
import { withoutTrailing } from '../../core/validation/trailing.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { type Database, otherSpace, type TableAt } from './database.ts';
import type { Kind, NamedVector } from './vectors.ts';

/** Points of a request. */
const POINTS = 256;
/** RFC 9562, section 6.6: of URLs; any fixed one would do. */
const NAMESPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex');

/** Qdrant takes numbers and UUIDs as ids, and no strings: version 5 (RFC 9562, section 5.5) of the name. */
export function uuidOf(name: string): string {
  const bytes = createHash('sha1').update(NAMESPACE).update(name).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x50, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

interface Collection {
  config: { params: { vectors: { size?: number; distance?: string } } };
}
/** A page of what the collection holds. */
interface Scrolled {
  points: { payload?: { space_id?: string } | null }[];
}

export const qdrant: Database = {
  form: 'qdrant:http://HOST:6333',
  types: ['float32'],
  async open(at, kind) {
    const ask = openCollection(at);
    const there = await ask<Collection>('GET', '');
    if (there === undefined) await ask('PUT', '', { vectors: { size: kind.dimensions, distance: 'Cosine' } });
    else {
      const scroll = { limit: 1, with_payload: true };
      refuseOther(there, await ask<Scrolled>('POST', '/points/scroll', scroll), { table: at.table, kind });
    }
    return {
      async write(vectors) {
        for (let from = 0; from < vectors.length; from += POINTS) {
          const points = vectors.slice(from, from + POINTS).map((vector) => pointOf(vector, kind));
          await ask('PUT', '/points?wait=true', { points });
        }
      },
      async finish() {},
      async close() {},
    };
  },
  query: ({ table }) => `POST /collections/${table}/points/query {"query": […], "limit": 10, "with_payload": true}`,
};

/** Asks for a path below the collection: the result, or undefined for what is not there. */
function openCollection({ place, table, key }: TableAt) {
  const base = `${withoutTrailing(place, '/')}/collections/${table}`;
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'api-key': key }) };
  return async <T>(method: string, path: string, body?: object): Promise<T | undefined> => {
    const url = `${base}${path}`;
    const request = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    const answer = await fetch(url, request).catch((error: Error) => {
      throw new UserError(`Qdrant cannot be reached at ${url}: ${error.cause ?? error.message}`);
    });
    if (answer.status === 404 && method === 'GET') return undefined;
    const text = await answer.text();
    if (!answer.ok) throw new UserError(`Qdrant answers ${answer.status} to ${method} ${url}: ${text.slice(0, 500)}`);
    return (JSON.parse(text) as { result: T }).result;
  };
}

function refuseOther(
  { config }: Collection,
  found: Scrolled | undefined,
  { table, kind }: { table: string; kind: Kind },
): void {
  const { size, distance } = config.params.vectors;
  if (size !== kind.dimensions || distance !== 'Cosine') {
    throw new UserError(
      `collection ${table} has vectors of ${size} and ${distance}, not of ${kind.dimensions} and Cosine: choose --table`,
    );
  }
  const space = found?.points[0]?.payload?.space_id;
  if (space !== undefined && space !== kind.space_id) throw otherSpace(table, space, kind);
}

function pointOf({ custom_id, modality, bytes }: NamedVector, { space_id }: Kind) {
  const vector = Array.from(fromFloat32Bytes(bytes) ?? []);
  return { id: uuidOf(custom_id), vector, payload: { custom_id, modality, space_id } };
}
