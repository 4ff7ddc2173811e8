// The HTTP application, put together from what it depends on. Nothing is read or computed before a request comes.
import { type Context, Hono } from 'hono';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import ROUTES from '../../contracts/schema/routes.json';
import type { Route } from '../../contracts/src/api/operation.ts';
import type { OperationId } from '../../contracts/src/api/operations.ts';
import { ADDRESS, CoreError, shortened } from '../core/errors.ts';
import type { Dependencies, RequestRecord } from './dependencies.ts';
import { handlerOf } from './handlers.ts';
import { renderError } from './http/errors.ts';
import { checkParameters, createPaths } from './http/paths.ts';
import { readPrefer } from './http/prefer.ts';
import { toResponse } from './http/reply.ts';
import { discardRest } from './http/stream.ts';
import { startTrace } from './http/trace.ts';
import { methodsOf } from './middleware/cors.ts';

interface Row extends Route {
  id: OperationId;
}
const PATHS = createPaths((Object.keys(ROUTES) as OperationId[]).map((id): Row => ({ ...ROUTES[id], id })));

/** What Hono's context holds of a request. */
export interface AppEnv {
  Variables: { requestId: string; record: RequestRecord };
}

const POLICY = 'Content-Security-Policy';

export function createApp(deps: Dependencies) {
  const app = new Hono<AppEnv>();
  app.use(requestId({ limitLength: 128 }));
  app.use(async (c, next) => {
    const trace = startTrace(c.req.raw.headers);
    const requestId = c.get('requestId');
    c.set('record', { requestId, operation: undefined, door: 'own', tokens: 0, images: 0, headers: {}, trace });
    const started = Date.now();
    await next();
    const headers = { 'X-Request-Id': requestId, ...c.get('record').headers };
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
    const { method } = c.req;
    const finished = { ...c.get('record'), method, status: c.res.status, ms: Date.now() - started };
    for (const observe of deps.observers) observe(finished);
    if (c.res.status >= 400) await discardRest(c.req.raw);
  });
  app.use(secureHeaders({ xFrameOptions: 'DENY' }));
  app.use(async (c, next) => {
    await next();
    // Pages bring their own, with the same words.
    if (!c.res.headers.has(POLICY)) c.res.headers.set(POLICY, "default-src 'none'; frame-ancestors 'none'");
    deps.cors.finish(c.req.raw, c.res.headers);
  });

  app.all('*', async (c, next) => {
    const { path } = c.req;
    // Hono answers HEAD with the head of what GET is answered with.
    const asked = c.req.method === 'HEAD' ? 'GET' : c.req.method;
    // For AWS, not for clients: no operations.
    const document = asked === 'GET' ? deps.identity?.get(path) : undefined;
    if (document) return c.json(await document());
    const found = PATHS.find(path);
    if (!found) return next();
    if (asked === 'OPTIONS') return deps.cors.preflight(c.req.raw, found.rows);
    const row = found.rows.find(({ method }) => method === asked);
    return row ? answer(row, found.params, c) : refuseMethod(found.rows, c);
  });

  async function answer(row: Row, params: Record<string, string>, c: Context<AppEnv>): Promise<Response> {
    const { id, door, computes } = row;
    const record = Object.assign(c.get('record'), { operation: id, door });
    const grant = await deps.access(c.req.raw, row, record);
    checkParameters(c.req.raw, row);
    // Who asks for a job waits for no turn; a request that becomes none is refused when it wants one.
    const isJob = deps.jobs !== undefined && readPrefer(c.req.raw.headers).job === 'asked';
    if (computes && !isJob) deps.admission.checkRoom();
    const { checkQuota, left, terms: keyTerms } = grant ?? {};
    const call = { request: c.req.raw, params, deps, record, checkQuota, left, keyTerms };
    const handle = await handlerOf(id);
    const reply = await handle(call);
    Object.assign(record.headers, grant?.finish(record));
    return toResponse(reply);
  }

  function refuseMethod(rows: readonly Row[], c: Context<AppEnv>): Response {
    const methods = rows.map(({ method }) => method);
    const message = `${shortened(c.req.path, ADDRESS)} takes ${methods.join(' and ')}, not ${c.req.method}.`;
    const allow = [...methodsOf(rows), 'OPTIONS'].join(', ');
    const record = Object.assign(c.get('record'), { door: rows[0]?.door ?? 'own' });
    return renderError(new CoreError('method_not_allowed', message), record, { Allow: allow });
  }

  app.notFound((c) => {
    const near = PATHS.nearest(c.req.path);
    const meant = near === undefined ? [] : (PATHS.find(near)?.rows ?? []);
    const names = (rows: readonly Route[]) =>
      rows.map(({ method, path }) => `${method} ${near === undefined ? path : shortened(near, ADDRESS)}`).join(', ');
    const there = near
      ? `. Did you mean ${names(meant)}? /docs lists what there is.`
      : `; there are ${names(Object.values(ROUTES))}. /docs describes them.`;
    // Its clients look for the sentence where the path that they mean has it.
    const record = Object.assign(c.get('record'), { door: meant[0]?.door ?? 'own' });
    return renderError(new CoreError('not_found', `There is no ${shortened(c.req.path, ADDRESS)}${there}`), record);
  });
  app.onError((error, c) => renderError(error, c.get('record')));
  return app;
}
