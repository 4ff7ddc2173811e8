// The HTTP application, put together from what it depends on. Nothing is read or computed before a request comes.
import { Hono } from 'hono';
import { cors } from 'hono/cors';
import { requestId } from 'hono/request-id';
import { secureHeaders } from 'hono/secure-headers';
import { discardRest } from './http/body.ts';
import { ApiError, renderError } from './http/errors.ts';
import type { ImageEncoder } from './image-client.ts';
import type { Admission } from './middleware/admission.ts';
import type { Registry } from './model-provider.ts';
import { embed } from './routes/embed.ts';
import { live, ready } from './routes/health.ts';
import { models } from './routes/models.ts';
import { similarity } from './routes/similarity.ts';

export interface Dependencies {
  registry: Registry;
  images: ImageEncoder;
  admit: Admission;
  /** The document of GET /openapi.json. */
  openapi: object;
}

type Handler = (request: Request, deps: Dependencies) => Promise<object>;

const ROUTES: [method: 'GET' | 'POST', path: string, handler: Handler][] = [
  ['POST', '/embed', embed],
  ['POST', '/similarity', similarity],
  ['GET', '/v1/models', models],
  ['GET', '/health/live', live],
  ['GET', '/health/ready', ready],
  ['GET', '/openapi.json', async (_, { openapi }) => openapi],
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
    app.on(method, path, async (c) => c.json(await handler(c.req.raw, deps)));
    app.all(path, (c) => {
      const message = `${path} takes ${method}, not ${c.req.method}.`;
      throw new ApiError('method_not_allowed', message, {
        headers: { Allow: method === 'GET' ? 'GET, HEAD' : method },
      });
    });
  }
  app.notFound((c) => {
    const paths = ROUTES.map(([method, path]) => `${method} ${path}`).join(', ');
    const error = new ApiError('not_found', `There is no ${c.req.path}; there are ${paths}.`);
    return renderError(error, c.get('requestId'));
  });
  app.onError((error, c) => renderError(error, c.get('requestId')));
  return app;
}
