// The local stand-in of the platform's front: hands every request to the Worker, also the one that names no path.

interface Bindings {
  WORKER: { fetch(request: Request): Promise<Response> };
}

/** `OPTIONS *` asks about the server (RFC 9110, section 7.1), which has one address in common: `/`. */
const SERVER = /^(https?:\/\/[^/]*)\*$/;

export default {
  fetch(request: Request, { WORKER }: Bindings): Promise<Response> {
    const [, origin] = SERVER.exec(request.url) ?? [];
    return WORKER.fetch(origin === undefined ? request : new Request(`${origin}/`, request));
  },
};
