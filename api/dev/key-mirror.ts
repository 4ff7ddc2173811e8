// Copies the key file into the Worker's simulated KV namespace, again and again: a new or revoked key needs no restart.

import { apiKeyKey } from '../../contracts/src/keys.ts';
import { reasonOf } from '../../contracts/src/user-error.ts';
import { readKeyFile } from '../keys/file-store.ts';

export interface KeyMirrorOptions {
  /** It may appear later. */
  file: string;
  namespace: {
    put(name: string, value: string): Promise<void>;
    delete(name: string): Promise<void>;
  };
  pollMs: number;
  /** Called when the file cannot be read, once for each reason; the keys that were read before stay. */
  onProblem(reason: string): void;
}

/** Copies once before it resolves; answers how to end the copying. */
export async function mirrorKeys({ file, namespace, pollMs, onProblem }: KeyMirrorOptions): Promise<() => void> {
  const copied = new Map<string, string>();
  let problem = '';
  let isEnded = false;
  let timer: NodeJS.Timeout | undefined;

  async function copy(): Promise<void> {
    const keys = new Map(
      ((await readKeyFile(file)) ?? []).map((key) => [apiKeyKey(key.digest), JSON.stringify(key)] as const),
    );
    for (const [name, text] of keys) {
      if (copied.get(name) === text) continue;
      await namespace.put(name, text);
      copied.set(name, text);
    }
    for (const name of copied.keys()) {
      if (keys.has(name)) continue;
      await namespace.delete(name);
      copied.delete(name);
    }
  }

  async function again(): Promise<void> {
    try {
      await copy();
      problem = '';
    } catch (error) {
      const reason = reasonOf(error);
      if (reason !== problem && !isEnded) onProblem(reason);
      problem = reason;
    }
    if (!isEnded) timer = setTimeout(again, pollMs);
  }

  await again();
  return () => {
    isEnded = true;
    clearTimeout(timer);
  };
}
