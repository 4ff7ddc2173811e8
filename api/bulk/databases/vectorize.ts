// A file of lines for Cloudflare Vectorize, which `wrangler vectorize upsert INDEX --file FILE` sends.
import { hexOf } from '../../../contracts/src/keys.ts';
import { UserError } from '../../../contracts/src/user-error.ts';
import { fromFloat32Bytes } from '../../core/vectors/vectors.ts';
import { sha256Of } from '../../registry/stores/hash.ts';
import type { Database } from './database.ts';
import { openNewFile } from './new-file.ts';
import type { NamedVector } from './vectors.ts';

/** Vectorize's limits: bytes of an id, and numbers of a vector. */
const LIMITS = { id: 64, dimensions: 1536 } as const;

export const vectorize: Database = {
  form: 'vectorize:FILE.ndjson',
  types: ['float32'],
  async open({ place }, kind) {
    if (kind.dimensions > LIMITS.dimensions) {
      throw new UserError(`Vectorize takes ${LIMITS.dimensions} numbers at most, these have ${kind.dimensions}`);
    }
    const file = await openNewFile(place);
    return {
      async write(vectors) {
        await file.write(vectors.map((vector) => `${JSON.stringify(lineOf(vector, kind.space_id))}\n`).join(''));
      },
      finish: () => file.finish(),
      close: () => file.close(),
    };
  },
  query: ({ place, table }, { dimensions }) =>
    `npx wrangler vectorize create ${table} --dimensions=${dimensions} --metric=cosine; ` +
    `npx wrangler vectorize upsert ${table} --file=${place}`,
};

function lineOf({ custom_id, modality, bytes }: NamedVector, space_id: string) {
  return {
    id: idOf(custom_id),
    values: Array.from(fromFloat32Bytes(bytes) ?? []),
    metadata: { custom_id, modality, space_id },
  };
}

/** Names that are too long are their SHA-256, which fits exactly; the metadata has the name. */
function idOf(name: string): string {
  return Buffer.byteLength(name) <= LIMITS.id ? name : hexOf(sha256Of(name));
}
