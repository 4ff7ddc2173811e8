// Requests to the service: refusals become errors with a code, and what asks for patience gets it.
import { ask } from './key.js';

/** Codes that pass by themselves, or that a person can end: the same request may work later. */
const TEMPORARY = new Set([
  'gone',
  'overloaded',
  'rate_limited',
  'quota_exceeded',
  'unauthorized',
  'forbidden',
  'body_timeout',
  'internal_error',
  'encoder_error',
  'encoder_unavailable',
  'encoder_timeout',
  'keys_unavailable',
  'model_unavailable',
]);
/** Those that say themselves when to come again are obeyed for as long as they say it. */
const BUSY = new Set(['overloaded', 'rate_limited']);
/** For the others, after pauses that double: half a minute for a server that is at work again, seconds for one that has gone. */
const TRIES = 6;
const TRIES_GONE = 3;

export class ServiceError extends Error {
  /** @param {string} code @param {string} message @param {number} [retryAfter] seconds; absent: do not repeat */
  constructor(code, message, retryAfter) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** @param {string} code */
export const isTemporary = (code) => TEMPORARY.has(code);

/**
 * An answer's JSON. A body that is a form is sent as one.
 * @param {string} path @param {{body?: object, signal?: AbortSignal}} [options]
 */
export async function request(path, { body, signal } = {}) {
  const isForm = body instanceof FormData;
  const response = await reach(path, {
    ...(signal ? { signal } : {}),
    ...(body ? { method: 'POST', body: isForm ? body : JSON.stringify(body) } : {}),
    ...(body && !isForm ? { headers: { 'content-type': 'application/json' } } : {}),
  });
  const answer = await response.json().catch(() => undefined);
  if (response.ok && answer !== undefined) return answer;
  const again = response.headers.get('x-should-retry') !== 'false' && response.headers.get('retry-after');
  const message = answer?.detail ?? `The server answered ${response.status} to ${path}, without a reason.`;
  throw new ServiceError(answer?.code ?? 'internal_error', message, again ? Number(again) || 1 : undefined);
}

/** @param {string} path @param {RequestInit} init */
async function reach(path, init) {
  try {
    return await ask(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServiceError('gone', 'The server does not answer. Is it still running, and are you online?', 1);
  }
}

/**
 * Sends again what was refused for a while only; `onWait` is told for how many seconds.
 * @template T @param {() => Promise<T>} send
 * @param {{signal: AbortSignal, onWait?: (seconds: number) => void}} options @returns {Promise<T>}
 */
export async function patiently(send, { signal, onWait = () => {} }) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await send();
    } catch (error) {
      if (!(error instanceof ServiceError) || error.retryAfter === undefined) throw error;
      const isBusy = BUSY.has(error.code);
      if (!isBusy && tries >= (error.code === 'gone' ? TRIES_GONE : TRIES)) throw error;
      const seconds = isBusy ? error.retryAfter : error.retryAfter * 2 ** (tries - 1);
      onWait(seconds);
      await pause(seconds, signal);
      onWait(0);
    }
  }
}

/** @param {number} seconds @param {AbortSignal} signal @returns {Promise<void>} */
function pause(seconds, signal) {
  return new Promise((done, fail) => {
    const stop = () => {
      clearTimeout(timer);
      fail(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      done();
    }, 1000 * seconds);
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** Little-endian float32 in base64, as /embed writes it. @param {string} base64 */
export function toVector(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** @param {Float32Array} vector */
export function toBase64(vector) {
  return btoa(String.fromCharCode(...new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength)));
}
