// Load on a server at 127.0.0.1: requests at given times or one after the other, each with its status and milliseconds.
import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** 0: no answer came. */
export interface Answer {
  status: number;
  ms: number;
  retryAfter: number | undefined;
}

export interface Client {
  post(body: object, path?: string): Promise<Answer>;
  get(path: string): Promise<Answer>;
  close(): void;
}

/** Keeps its connections; a request without an answer after `timeoutMs` is given up. */
export function createClient(url: string, timeoutMs = 120_000): Client {
  const { hostname, port } = new URL(url);
  if (hostname !== '127.0.0.1') throw new Error(`load is sent to 127.0.0.1 only, not to ${hostname}`);
  const agent = new Agent({ keepAlive: true, maxSockets: 1000 });
  function send(method: string, path: string, body?: string): Promise<Answer> {
    const start = performance.now();
    const headers = body ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } : {};
    return new Promise((done) => {
      const end = (status: number, retryAfter?: number): void =>
        done({ status, ms: performance.now() - start, retryAfter });
      const sent = request({ hostname, port, path, method, agent, headers, timeout: timeoutMs }, (response) => {
        const seconds = response.headers['retry-after'];
        response.on('error', () => end(0));
        response.on('end', () => end(response.statusCode ?? 0, seconds === undefined ? undefined : Number(seconds)));
        response.resume();
      });
      sent.on('timeout', () => sent.destroy());
      sent.on('error', () => end(0));
      sent.end(body);
    });
  }
  return {
    post: (body, path = '/embed') => send('POST', path, JSON.stringify(body)),
    get: (path) => send('GET', path),
    close: () => agent.destroy(),
  };
}

export interface Pace {
  perSecond: number;
  seconds: number;
  /** Chosen times instead of even ones: as callers come that know nothing of each other. */
  random?: boolean;
  signal: AbortSignal;
}

/** Sends at given times, whether the answers before have come or not. */
export async function sendAt({ perSecond, seconds, random = false, signal }: Pace, send: () => Promise<Answer>) {
  const answers: Promise<Answer>[] = [];
  const start = performance.now();
  let seed = 1;
  const draw = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return random ? -Math.log((seed + 1) / 2 ** 32) : 1;
  };
  for (let at = 0; at < seconds && !signal.aborted; at += draw() / perSecond) {
    const wait = start + at * 1000 - performance.now();
    if (wait > 0) await sleep(wait);
    answers.push(send());
  }
  return Promise.all(answers);
}

/** Sends one request after the other until told to stop, with a pause after each. */
export async function sendInTurn(send: () => Promise<Answer>, until: () => boolean, pauseMs = 20): Promise<Answer[]> {
  const answers: Answer[] = [];
  while (!until()) {
    answers.push(await send());
    await sleep(pauseMs);
  }
  return answers;
}

/** The value that a share of the values does not exceed. */
export function quantile(values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function byStatus(answers: Answer[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}
