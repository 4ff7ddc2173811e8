// Measures the application without the runtime's own HTTP: requests made and answered inside the isolate.
import { cpuMs } from '../process.ts';
import { inRounds, medians } from '../rounds.ts';
import type { Server } from './server.ts';
import { textOf } from './texts.ts';

/** Microseconds of workerd's CPU for one request, medians. */
export interface ApplicationFigures {
  /** GET /health/live: routing, headers, the log line. */
  empty_us: number;
  /** 16 tokens to the static tier: body, validation, tokens, vector, receipt, tag, answer in base64. */
  static_us: number;
  /** The same with floats in JSON. */
  static_float_us: number;
}

const TOKENS = 16;

export async function measureApplication(
  { url, pid }: Server,
  model: string,
  runs: number,
): Promise<ApplicationFigures> {
  // It reads no special tokens.
  const body = { input: textOf(TOKENS + 2), model: `${model}-static` };
  const requests = {
    empty_us: { path: '/health/live' },
    static_us: { path: '/embed', body: { ...body, types: ['base64'] } },
    static_float_us: { path: '/embed', body: { ...body, types: ['float'] } },
  };
  const times = 300;
  async function cpuOf(request: object, count: number): Promise<number> {
    const before = cpuMs(pid);
    const asked = { method: 'POST', body: JSON.stringify({ ...request, times: count }) };
    const response = await fetch(`${url}/bench/application`, asked);
    const text = await response.text();
    if (!response.ok) throw new Error(text);
    return cpuMs(pid) - before;
  }
  const usOf = async (request: object) => (((await cpuOf(request, times)) - (await cpuOf(request, 0))) * 1000) / times;
  const taken = await inRounds(runs, async () => ({
    empty_us: await usOf(requests.empty_us),
    static_us: await usOf(requests.static_us),
    static_float_us: await usOf(requests.static_float_us),
  }));
  return medians(taken);
}
