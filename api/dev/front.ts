// The local stand-in of the platform's front: hands every request to the Worker, also the one that names no path, or to the static
// files before it.

interface Fetcher {
  fetch(request: Request): Promise<Response>;
}
interface Bindings {
  WORKER: Fetcher;
  /** The static files, and behind them the Worker for whatever is none. */
  SITE: Fetcher;
  /** Paths that are for the Worker whatever files there are, as wrangler.toml's `run_worker_first` has them. */
  FIRST: string[];
}

/** `OPTIONS *` asks about the server (RFC 9110, section 7.1), which has one address in common: `/`. */
const SERVER = /^(https?:\/\/[^/]*)\*$/;
/** What stands before the path, which ends where the question begins. */
const PATH = /^https?:\/\/[^/]*(\/[^?]*)/;

export default {
  fetch(request: Request, { WORKER, SITE, FIRST }: Bindings): Promise<Response> {
    const [, origin] = SERVER.exec(request.url) ?? [];
    if (origin !== undefined) return WORKER.fetch(new Request(`${origin}/`, request));
    const [, path = '/'] = PATH.exec(request.url) ?? [];
    const isFirst = FIRST.some((rule) => (rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : path === rule));
    return (isFirst ? WORKER : SITE).fetch(request);
  },
};
