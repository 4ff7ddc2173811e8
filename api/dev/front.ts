// The local stand-in of the platform's front, in the Worker's own isolate: hands every request to the Worker, also the one that names
// no path, or to the static files before it.

interface Fetcher {
  fetch(request: Request): Promise<Response>;
}
interface Worker {
  fetch(request: Request, bindings: Bindings, context: object): Promise<Response> | Response;
}
interface Bindings {
  /** The static files, and behind them the Worker for whatever is none. */
  SITE: Fetcher;
}

/** `OPTIONS *` asks about the server (RFC 9110, section 7.1), which has one address in common: `/`. */
const SERVER = /^(https?:\/\/[^/]*)\*$/;
/** What stands before the path, which ends where the question begins. */
const PATH = /^https?:\/\/[^/]*(\/[^?]*)/;

/** `first`: paths that are for the Worker whatever files there are, as wrangler.toml's `run_worker_first` has them. */
export function before(worker: Worker, first: readonly string[]): Worker {
  return {
    fetch(request, bindings, context) {
      const [, origin] = SERVER.exec(request.url) ?? [];
      if (origin !== undefined) return worker.fetch(new Request(`${origin}/`, request), bindings, context);
      const [, path = '/'] = PATH.exec(request.url) ?? [];
      const isFirst = first.some((rule) => (rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule));
      return isFirst ? worker.fetch(request, bindings, context) : bindings.SITE.fetch(request);
    },
  };
}
