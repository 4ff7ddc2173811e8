// Answers with the static files beside the Worker: GET / is the playground, GET /openapi.json the description of the service.
import { CoreError } from '../../core/errors.ts';
import type { Call } from '../dependencies.ts';
import type { Reply } from '../http/reply.ts';

export async function pageRoute({ request, deps: { files } }: Call): Promise<Reply> {
  if (!files) throw new CoreError('not_found', 'This server has no page; GET /openapi.json says what it answers.');
  const { status, headers, body } = await files(request);
  return { status, headers: Object.fromEntries(headers), stream: body };
}

/** Of the headers of a static file, those that the document has. The others are a page's. */
const KEPT = ['content-type', 'etag', 'cache-control'];

/** Half a megabyte that few ask for: in the script, every isolate would hold it. */
export async function describeRoute({ request, deps: { files } }: Call): Promise<Reply> {
  const response = await files?.(request);
  if (!response || response.status === 404) {
    throw new CoreError(
      'not_found',
      'This server runs without its description, a static file: deploy it with ASSETS bound.',
    );
  }
  const { status, headers, body } = response;
  return { status, headers: Object.fromEntries([...headers].filter(([name]) => KEPT.includes(name))), stream: body };
}
