// Where API keys are kept: a file of this machine, or Workers KV. Neither ever holds a key itself.
import type { ApiKey } from '../../contracts/src/api/api-key.ts';

export interface KeyStore {
  /** How messages name it. */
  name: string;
  /** In the order in which they were made. */
  list(): Promise<ApiKey[]>;
  /** Adds a key, or writes the key of the same digest anew. */
  put(key: ApiKey): Promise<void>;
}
