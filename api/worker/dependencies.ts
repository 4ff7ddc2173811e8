// What the HTTP application is put together from, and what a route is.
import type { ImageEncoder } from '../core/embed.ts';
import type { Reply } from './http/reply.ts';
import type { Admission } from './middleware/admission.ts';
import type { ModelProvider } from './model-provider.ts';

export interface Dependencies {
  provider: ModelProvider;
  images: ImageEncoder;
  admission: Admission;
  /** The document of GET /openapi.json. */
  openapi: object;
}

export type Handler = (request: Request, deps: Dependencies) => Promise<Reply>;
