// API keys in a namespace of a test's own, as Workers KV would hold them.
import { createKeyCache, type KeyNamespace } from '../../../api/worker/access/key-cache.ts';
import type { Limits } from '../../../api/worker/access/limits.ts';
import { policyOf } from '../../../api/worker/access/policy.ts';
import { type Access, createAccess } from '../../../api/worker/middleware/access.ts';
import type { ApiKey } from '../../../contracts/src/api/api-key.ts';
import { apiKeyKey } from '../../../contracts/src/keys.ts';

export interface TestNamespace extends KeyNamespace {
  stored: Map<string, string>;
  /** How often it was asked. */
  reads: number;
  isDown: boolean;
  /** Adds a key with those terms and answers its secret. */
  add(terms?: Partial<ApiKey>): Promise<string>;
}

/** Lets in whoever has a key of it. */
export function accessBy(namespace: KeyNamespace, limits?: Limits): Access {
  const policy = policyOf({ access: undefined, hasKeys: true });
  return createAccess({ policy, keys: createKeyCache(namespace), limits });
}

export function keyNamespace(): TestNamespace {
  const stored = new Map<string, string>();
  return {
    stored,
    reads: 0,
    isDown: false,
    async get(name) {
      this.reads++;
      if (this.isDown) throw new Error('KV GET failed: 500 Internal Server Error');
      return stored.get(name) ?? null;
    },
    async list() {
      if (this.isDown) throw new Error('KV LIST failed: 500 Internal Server Error');
      return { keys: [...stored.keys()] };
    },
    async add(terms = {}) {
      const secret = `ec_${crypto.randomUUID().replaceAll('-', '')}`;
      const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(secret)));
      const key: ApiKey = {
        digest: `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`,
        prefix: secret.slice(0, 11),
        name: 'test',
        scopes: ['embed'],
        created_at: '2026-01-01T00:00:00Z',
        expires_at: null,
        revoked_at: null,
        rate: { requests_per_minute: 1000 },
        quota: { tokens_per_month: null, images_per_month: null },
        ...terms,
      };
      stored.set(apiKeyKey(key.digest), JSON.stringify(key));
      return secret;
    },
  };
}
