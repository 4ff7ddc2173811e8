// The HTTP application, put together from what it depends on. Nothing is read or computed before a request comes.
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { CoreError } from '../core/errors.ts';
import type { Dependencies, Handler } from './dependencies.ts';
import { discardRest } from './http/body.ts';
import { renderError } from './http/errors.ts';
import { toResponse } from './http/reply.ts';
import { embedRoute } from './routes/embed.ts';
import { liveRoute, readyRoute } from './routes/health.ts';
import { modelsRoute } from './routes/models.ts';
import { similarityRoute } from './routes/similarity.ts';

const ROUTES: [method: 'GET' | 'POST', path: string, handler: Handler][] = [
  ['POST', '/embed', embedRoute],
  ['POST', '/similarity', similarityRoute],
  ['GET', '/v1/models', modelsRoute],
  ['GET', '/health/live', liveRoute],
  ['GET', '/health/ready', readyRoute],
  ['GET', '/openapi.json', async (_, { openapi }) => ({ json: openapi })],
];

export function createApp(deps: Dependencies) {
  const app = new Hono<{ Variables: { requestId: string } }>();
  app.use(requestId({ limitLength: 128 }));
  app.use(cors({ origin: '*', exposeHeaders: ['X-Request-Id', 'Retry-After'] }));
  app.use(secureHeaders({ crossOriginResourcePolicy: 'cross-origin' }));
  app.use(async (c, next) => {
    await next();
    if (c.res.status >= 400) await discardRest(c.req.raw);
  });

  for (const [method, path, handler] of ROUTES) {
    app.on(method, path, async (c) => toResponse(await handler(c.req.raw, deps)));
    app.all(path, (c) => {
      const message = `${path} takes ${method}, not ${c.req.method}.`;
      const allow = method === 'GET' ? 'GET, HEAD' : method;
      return renderError(new CoreError('method_not_allowed', message), c.get('requestId'), { Allow: allow });
    });
  }
  app.notFound((c) => {
    const paths = ROUTES.map(([method, path]) => `${method} ${path}`).join(', ');
    const error = new CoreError('not_found', `There is no ${c.req.path}; there are ${paths}.`);
    return renderError(error, c.get('requestId'));
  });
  app.onError((error, c) => renderError(error, c.get('requestId')));
  return app;
}
