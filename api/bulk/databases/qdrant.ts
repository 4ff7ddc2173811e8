// Qdrant by its REST interface: one collection, its points named by UUIDs that follow from `custom_id`.
import { createHash } from 'node:crypto';
import { UserError } from '../../../contracts/src/user-error.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { type Database, otherSpace } from './database.ts';
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

export const qdrant: Database = {
  form: 'qdrant:http://HOST:6333',
  types: ['float32'],
  async open({ place, table }, kind) {
    const base = `${place.replace(/\/+$/, '')}/collections/${table}`;
    const there = await ask<Collection>('GET', base);
    const wanted = { size: kind.dimensions, distance: 'Cosine' };
    if (there === undefined) await ask('PUT', base, { vectors: wanted });
    else await refuseOther(there, { base, table }, kind);
    return {
      async write(vectors) {
        for (let at = 0; at < vectors.length; at += POINTS) {
          const points = vectors.slice(at, at + POINTS).map((vector) => pointOf(vector, kind));
          await ask('PUT', `${base}/points?wait=true`, { points });
        }
      },
      async finish() {},
      async close() {},
    };
  },
  query: ({ table }) => `POST /collections/${table}/points/query {"query": […], "limit": 10, "with_payload": true}`,
};

async function refuseOther(
  { config }: Collection,
  { base, table }: { base: string; table: string },
  kind: Kind,
): Promise<void> {
  const { size, distance } = config.params.vectors;
  if (size !== kind.dimensions || distance !== 'Cosine') {
    throw new UserError(
      `collection ${table} has vectors of ${size} and ${distance}, not of ${kind.dimensions} and Cosine: choose --table`,
    );
  }
  const scroll = { limit: 1, with_payload: true };
  const held = await ask<{ points: { payload: { space_id?: string } }[] }>('POST', `${base}/points/scroll`, scroll);
  const space = held?.points[0]?.payload.space_id;
  if (space !== undefined && space !== kind.space_id) throw otherSpace(table, space, kind);
}

function pointOf({ custom_id, modality, bytes }: NamedVector, { space_id }: Kind) {
  const vector = Array.from(fromFloat32Bytes(bytes) ?? []);
  return { id: uuidOf(custom_id), vector, payload: { custom_id, modality, space_id } };
}

/** The result; undefined for what is not there. */
async function ask<T>(method: string, url: string, body?: object): Promise<T | undefined> {
  const key = process.env.QDRANT_API_KEY;
  const headers = { 'content-type': 'application/json', ...(key === undefined ? {} : { 'api-key': key }) };
  const request = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const answer = await fetch(url, request).catch((error: Error) => {
    throw new UserError(`Qdrant cannot be reached at ${url}: ${error.cause ?? error.message}`);
  });
  if (answer.status === 404 && method === 'GET') return undefined;
  const text = await answer.text();
  if (!answer.ok) throw new UserError(`Qdrant answers ${answer.status} to ${method} ${url}: ${text.slice(0, 500)}`);
  return (JSON.parse(text) as { result: T }).result;
}
