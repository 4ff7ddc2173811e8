// Lets pages of other origins read answers (CORS): those that the deployment lists, and where only this machine is answered, its own
// pages. Without either, none.
import type { Operation } from '../../../contracts/src/api/operation.ts';
import { isLoopbackOrigin } from '../access/policy.ts';

/** Headers of an answer that a page may read. */
const EXPOSED = [
  'x-request-id',
  'retry-after',
  'x-should-retry',
  'location',
  'etag',
  'accept-ranges',
  'content-range',
  'x-cache',
  'server-timing',
  'x-served-by',
  'x-image-route',
  'preference-applied',
  'www-authenticate',
  ...['requests', 'tokens'].flatMap((what) =>
    ['limit', 'remaining', 'reset'].map((part) => `x-ratelimit-${part}-${what}`),
  ),
].join(', ');
/**
 * Request headers that mean something here; of a POST also those of its body. `user-agent` means nothing: SDKs for Node set it in
 * pages, too, and Firefox and Safari ask for it.
 */
const TAKEN = [
  'authorization',
  'x-api-key',
  'api-key',
  'if-none-match',
  'if-range',
  'range',
  'idempotency-key',
  'prefer',
  'traceparent',
  'tracestate',
  'cache-control',
  'user-agent',
];
const OF_BODIES = ['content-type', 'content-encoding'];
/** SDKs in browsers add their own, which mean nothing here and would stop the request if they were not allowed. */
const OF_CLIENTS = /^(x|openai|anthropic|cohere)-[a-z0-9-]+$/;
/** Two hours, the most that Chromium remembers. */
const MAX_AGE_SECONDS = 7200;

export interface Cors {
  /** Adds to the headers of any answer what its page is told. */
  finish(request: Request, headers: Headers): void;
  /** Answers OPTIONS for a path of those operations. */
  preflight(request: Request, operations: readonly Pick<Operation, 'method'>[]): Response;
}

/** `origins`: as a browser sends them, or `*`. `isLocal`: pages of this machine are answered, whatever their port. */
export function createCors(origins: readonly string[], { isLocal = false } = {}): Cors {
  const isEveryone = origins.includes('*');
  const allowed = (request: Request): string | undefined => {
    const origin = request.headers.get('origin');
    if (origin === null) return undefined;
    if (isEveryone) return '*';
    return origins.includes(origin) || (isLocal && isLoopbackOrigin(origin)) ? origin : undefined;
  };
  return {
    finish(request, headers) {
      // A cache must not hand one page's answer to another, nor an answer without the header to either.
      if ((origins.length > 0 || isLocal) && !isEveryone) headers.append('Vary', 'Origin');
      const origin = allowed(request);
      if (origin === undefined) return;
      headers.set('Access-Control-Allow-Origin', origin);
      if (request.method !== 'OPTIONS') headers.set('Access-Control-Expose-Headers', EXPOSED);
    },
    preflight(request, operations) {
      const methods = methodsOf(operations);
      const headers = new Headers({ Allow: [...methods, 'OPTIONS'].join(', ') });
      if (allowed(request) !== undefined && request.headers.has('access-control-request-method')) {
        headers.set('Access-Control-Allow-Methods', methods.join(', '));
        headers.set('Access-Control-Allow-Headers', headersOf(request, methods).join(', '));
        headers.set('Access-Control-Max-Age', String(MAX_AGE_SECONDS));
        headers.set('Vary', 'Access-Control-Request-Headers');
      }
      return new Response(null, { status: 204, headers });
    },
  };
}

/** What a path takes, HEAD with GET. */
export function methodsOf(operations: readonly Pick<Operation, 'method'>[]): string[] {
  return operations.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}

function headersOf(request: Request, methods: readonly string[]): string[] {
  const asked = (request.headers.get('access-control-request-headers') ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase());
  const taken = [...TAKEN, ...(methods.includes('POST') ? OF_BODIES : [])];
  return [...new Set([...taken, ...asked.filter((name) => OF_CLIENTS.test(name))])];
}

/** The list of the variable CORS_ORIGINS; what is not an origin is the deployment's `problem`. */
export function readOrigins(text = ''): { origins: string[] } | { problem: string } {
  const origins = text.split(/[\s,]+/).filter((origin) => origin !== '');
  const wrong = origins.find(
    (origin) => origin !== '*' && !(URL.canParse(origin) && new URL(origin).origin === origin),
  );
  if (wrong === undefined) return { origins };
  return { problem: `CORS_ORIGINS has "${wrong}", which is not an origin: write https://name or https://name:port.` };
}
