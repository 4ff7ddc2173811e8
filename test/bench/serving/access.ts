// Measures the cost of asking for a key: requests with a key and its limits against without, in turns, over HTTP.
import { newKey } from '../../../api/keys/new-key.ts';
import { apiKeyKey } from '../../../contracts/src/keys.ts';
import { cpuMs } from '../process.ts';
import { inRounds, medians } from '../rounds.ts';
import type { Server } from './server.ts';

/** Requests of one turn: long enough for the clock, short enough for both kinds to meet the same machine. */
const TURN = 100;
/** Checks in one request of the bench's own route. */
const CHECKS = 20_000;

export interface AccessFigures {
  /** Microseconds that workerd computes for one look at a key: header, digest, remembered document, scope. */
  check_cpu_us: number;
  /** The same for a whole request without a key, and with one: key, both limiters, headers, settling. */
  without_cpu_us: number;
  with_cpu_us: number;
  /** What a client waits, one request after the other. */
  without_ms: number;
  with_ms: number;
}

export async function measureAccess({ url, pid, platform }: Server, turns: number): Promise<AccessFigures> {
  const terms = { rate: { requests_per_minute: 1_000_000 }, quota: { tokens_per_month: 1e9, images_per_month: 1e9 } };
  const { secret, key } = newKey({ name: 'bench', scopes: ['embed'], expires_at: null, ...terms }, new Date());
  await (await platform.getKVNamespace('KEYS')).put(apiKeyKey(key.digest), JSON.stringify(key));

  async function turn(headers: Record<string, string>): Promise<{ cpu: number; wall: number }> {
    const [started, before] = [performance.now(), cpuMs(pid)];
    for (let i = 0; i < TURN; i++) {
      const response = await fetch(`${url}/v1/models`, { headers });
      const text = await response.text();
      if (!response.ok) throw new Error(text);
    }
    return { cpu: (cpuMs(pid) - before) / TURN, wall: (performance.now() - started) / TURN };
  }
  async function checks(times: number): Promise<number> {
    const before = cpuMs(pid);
    await (await fetch(`${url}/bench/access?times=${times}`)).json();
    return cpuMs(pid) - before;
  }

  const taken = await inRounds(turns, async (): Promise<AccessFigures> => {
    const [plain, keyed] = [await turn({}), await turn({ authorization: `Bearer ${secret}` })];
    const looked = (await checks(CHECKS)) - (await checks(0));
    return {
      check_cpu_us: (looked / CHECKS) * 1000,
      without_cpu_us: plain.cpu * 1000,
      with_cpu_us: keyed.cpu * 1000,
      without_ms: plain.wall,
      with_ms: keyed.wall,
    };
  });
  return medians(taken);
}
